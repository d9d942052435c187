package audit

import "strings"

// provider is a well-known service that sends mail for its customers, with facts about its names.
type provider struct {
	name      string
	spf       []string // names that customers include
	mx        []string // suffixes of its MX hosts
	selectors []string // selectors that its customers usually have
	shared    bool     // all customers send from the same addresses
}

// providers come from the public documentation of these services.
var providers = []provider{
	{"Google Workspace", []string{"_spf.google.com"}, []string{"google.com", "googlemail.com"}, []string{"google"}, true},
	{"Microsoft 365", []string{"spf.protection.outlook.com"}, []string{"mail.protection.outlook.com", "mx.microsoft"}, []string{"selector1", "selector2"}, true},
	{"Amazon SES", []string{"amazonses.com"}, []string{"amazonaws.com"}, nil, true},
	{"SendGrid", []string{"sendgrid.net"}, nil, []string{"s1", "s2", "smtpapi"}, true},
	{"Mailgun", []string{"mailgun.org", "eu.mailgun.org"}, []string{"mailgun.org"}, []string{"k1", "mx", "pic", "smtp"}, true},
	{"Mailchimp", []string{"servers.mcsv.net"}, nil, []string{"k1", "k2", "k3"}, true},
	{"Mandrill", []string{"spf.mandrillapp.com"}, nil, []string{"mandrill", "mte1", "mte2"}, true},
	{"Zoho Mail", []string{"zoho.com", "zoho.eu", "zohomail.com", "one.zoho.com"}, []string{"zoho.com", "zoho.eu"}, []string{"zoho", "zmail"}, true},
	{"Proton Mail", []string{"_spf.protonmail.ch"}, []string{"protonmail.ch"}, []string{"protonmail", "protonmail2", "protonmail3"}, true},
	{"Fastmail", []string{"spf.messagingengine.com"}, []string{"messagingengine.com"}, []string{"fm1", "fm2", "fm3", "mesmtp"}, true},
	{"iCloud Mail", []string{"icloud.com"}, []string{"mail.icloud.com"}, []string{"sig1"}, true},
	{"Yandex 360", []string{"_spf.yandex.net"}, []string{"yandex.net", "yandex.ru"}, []string{"mail"}, true},
	{"Mailjet", []string{"spf.mailjet.com"}, nil, []string{"mailjet"}, true},
	{"Brevo", []string{"spf.brevo.com", "spf.sendinblue.com"}, nil, []string{"mail", "brevo1", "brevo2"}, true},
	{"HubSpot", []string{"hubspotemail.net"}, nil, []string{"hs1", "hs2"}, true},
	{"Salesforce", []string{"_spf.salesforce.com"}, nil, nil, true},
	{"Zendesk", []string{"mail.zendesk.com"}, nil, []string{"zendesk1", "zendesk2"}, true},
	{"Freshdesk", []string{"email.freshdesk.com"}, nil, nil, true},
	{"Postmark", []string{"spf.mtasv.net"}, nil, []string{"pm"}, true},
	{"SparkPost", []string{"sparkpostmail.com", "_netblocks.sparkpostmail.com"}, nil, []string{"scph0"}, true},
	{"OVH", []string{"mx.ovh.com"}, []string{"mail.ovh.net"}, []string{"ovhmo1-selector1", "ovhmo1-selector2"}, true},
	{"IONOS", []string{"_spf.perfora.net", "_spf.kundenserver.de"}, []string{"kundenserver.de", "perfora.net"}, []string{"s1-ionos", "s2-ionos"}, true},
	{"GoDaddy", []string{"secureserver.net"}, []string{"secureserver.net"}, nil, true},
	{"mailbox.org", []string{"mailbox.org"}, []string{"mailbox.org"}, []string{"mbo0001", "mbo0002"}, true},
	{"Migadu", []string{"spf.migadu.com"}, []string{"migadu.com"}, []string{"key1", "key2", "key3"}, true},
	{"Mimecast", []string{"_netblocks.mimecast.com"}, []string{"mimecast.com"}, nil, false},
	{"Proofpoint", nil, []string{"pphosted.com", "ppe-hosted.com"}, nil, false},
}

// sends reports whether customers of p include name.
func (p *provider) sends(name string) bool {
	for _, s := range p.spf {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// receives reports whether host is an MX host of p.
func (p *provider) receives(host string) bool {
	for _, s := range p.mx {
		if host == s || strings.HasSuffix(host, "."+s) {
			return true
		}
	}
	return false
}

// commonSelectors are selectors that many signers use.
var commonSelectors = []string{"default", "dkim", "mail", "s1", "s2", "k1", "selector1", "selector2", "key1", "smtp", "20230601", "2024", "2025", "2026"}
