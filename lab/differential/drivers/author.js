// Address parsers of npm: nodemailer (which libmime and mailauth have too), postal-mime, emailjs and
// email-addresses. One From field a line on stdin, a character for each octet; the domains that each
// parser shows on stdout. Parsers that are not in NODE_PATH are left out.
'use strict';

const readline = require('node:readline');

const readers = [];
const add = (name, make) => {
    try {
        readers.push(make(require(name)));
    } catch (err) {
        if (err.code !== 'MODULE_NOT_FOUND' && err.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
            throw err;
        }
    }
};

const addresses = list => (list || []).flatMap(a => (a.group ? addresses(a.group) : a.addresses ? addresses(a.addresses) : [a.address]));

add('nodemailer/lib/addressparser', parse => text => addresses(parse(text)));
add('postal-mime', ({ addressParser }) => text => addresses(addressParser(text)));
add('emailjs-addressparser', ({ default: parse }) => text => addresses(parse(text)));
add('email-addresses', parser => text => addresses(parser.parseAddressList(text)));

const domainOf = address => (address || '').slice((address || '').lastIndexOf('@') + 1);

(async () => {
    process.stderr.write(`${readers.length} readers\n`);
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const text = Buffer.from(JSON.parse(line), 'latin1').toString().replace(/\r\n(?=[ \t])/g, '');
        const domains = new Set();
        for (const read of readers) {
            for (const address of read(text)) {
                if (address && address.includes('@')) {
                    domains.add(domainOf(address));
                }
            }
        }
        process.stdout.write(JSON.stringify([...domains]) + '\n');
    }
})();
