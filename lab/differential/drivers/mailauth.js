// mailauth, in its strict mode. One case a line on stdin, one answer a line on stdout.
// The folder that holds mailauth is in NODE_PATH.
'use strict';

const readline = require('node:readline');
const { spf } = require('mailauth/lib/spf');
const { dkimVerify } = require('mailauth/lib/dkim/verify');
const { arc } = require('mailauth/lib/arc');
const { evaluateDmarc } = require('mailauth/lib/dmarc');

const failure = (code, name) => Object.assign(new Error(`${code} ${name}`), { code });

// resolver has the shape of dns.promises.resolve.
const resolver = zone => async (name, type) => {
    const asked = name;
    name = name.toLowerCase().replace(/\.+$/, '');
    for (let i = 0; i < 10; i++) {
        const fault = zone.fault[`${name} ${type}`];
        if (fault) {
            throw failure(fault === 'TIMEOUT' ? 'ETIMEOUT' : 'ESERVFAIL', asked);
        }
        const sets = zone.rr[name] || {};
        if (!sets.CNAME) {
            const records = sets[type] || [];
            if (!records.length) {
                throw failure(zone.exists[name] ? 'ENODATA' : 'ENOTFOUND', asked);
            }
            return records.map(record => convert(type, record));
        }
        name = sets.CNAME[0].toLowerCase().replace(/\.+$/, '');
    }
    throw failure('ESERVFAIL', asked);
};

const convert = (type, record) => {
    switch (type) {
        case 'TXT': {
            const octets = Buffer.from(record, 'latin1').toString();
            return octets.match(/[^]{1,255}/g) || [''];
        }
        case 'MX': {
            const [priority, exchange] = record.split(' ');
            return { priority: Number(priority), exchange };
        }
        default:
            return record;
    }
};

const verifiers = {
    async spf(c) {
        const r = await spf({ sender: c.sender, ip: c.ip, helo: c.helo, mta: 'unknown', resolver: resolver(c.zone), strict: true });
        return { results: [r.status.result], details: [r.status.comment || ''] };
    },
    async dkim(c) {
        const r = await dkimVerify(Buffer.from(c.message, 'base64'), { resolver: resolver(c.zone), strict: true, curTime: new Date(c.now) });
        const signed = r.results.filter(s => s.status.result !== 'none');
        return { results: signed.map(s => s.status.result), details: signed.map(s => s.status.comment || '') };
    },
    async arc(c) {
        const r = await dkimVerify(Buffer.from(c.message, 'base64'), { resolver: resolver(c.zone), strict: true, curTime: new Date(c.now) });
        const a = await arc(r.arc, { resolver: resolver(c.zone), strict: true });
        return { results: [a.status.result], details: [a.status.comment || ''] };
    },
    async mail(c) { // as authenticate() does, which needs a newer node for BIMI
        const all = { resolver: resolver(c.zone), strict: true };
        const sender = await spf({ sender: c.sender, ip: c.ip, helo: c.helo, mta: 'mx.test', ...all });
        const signed = await dkimVerify(Buffer.from(c.message, 'base64'), { ...all, curTime: new Date('2026-11-25T09:00:00Z') });
        const r = await evaluateDmarc({
            headerFrom: signed.headerFrom, fromFields: signed.fromFields, spfDomains: sender.status.result === 'pass' ? [sender.domain] : [],
            dkimDomains: signed.results.filter(s => s.status.result === 'pass').map(s => ({ domain: s.signingDomain })), ...all
        });
        return { results: [r.response?.status?.result || 'none', r.response?.status?.header?.from || ''], details: [JSON.stringify([r.reason, r.response, signed.headerFrom])] };
    },
    async dmarc(c) {
        const r = await evaluateDmarc({
            headerFrom: [c.author], spfDomains: c.spf, dkimDomains: c.dkim.map(domain => ({ domain })),
            resolver: resolver(c.zone), strict: true
        });
        if (!r.response) {
            return { results: ['none', ''], details: [r.reason || ''] };
        }
        return { results: [r.response.status.result, r.response.policy || '', r.response.policyDomain || ''], details: [JSON.stringify(r.response.status.comment || r.response.info || '')] };
    }
};

(async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const c = JSON.parse(line);
        let answer;
        try {
            answer = await verifiers[c.kind](c);
        } catch (err) {
            answer = { results: ['crash'], details: [String(err.stack || err)] };
        }
        answer.id = c.id;
        answer.details = answer.details.map(d => String(d).slice(0, 600));
        process.stdout.write(JSON.stringify(answer) + '\n');
    }
})();
