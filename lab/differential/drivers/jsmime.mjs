// The address parser of Thunderbird, jsmime, in the file that JSMIME names: it is a part of the
// program, and has no package of its own. One From field a line on stdin, a character for each octet;
// the domains that it shows on stdout, with encoded words read and left.
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const { jsmime } = await import(pathToFileURL(path.resolve(process.env.JSMIME)));
const domainOf = email => email.slice(email.lastIndexOf('@') + 1);
const addresses = list => list.flatMap(a => ('group' in a ? addresses(a.group) : [a.email]));

for await (const line of readline.createInterface({ input: process.stdin })) {
    const text = Buffer.from(JSON.parse(line), 'latin1').toString().replace(/\r\n(?=[ \t])/g, '');
    const domains = new Set();
    for (const decoded of [false, true]) {
        for (const email of addresses(jsmime.headerparser.parseAddressingHeader(text, decoded))) {
            if (email.includes('@')) {
                domains.add(domainOf(email));
            }
        }
    }
    process.stdout.write(JSON.stringify([...domains]) + '\n');
}
