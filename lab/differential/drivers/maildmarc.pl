#!/usr/bin/perl
# Mail::DMARC. One case a line on stdin, one answer a line on stdout. It is told the results of SPF
# and DKIM, and given the From field as it stands.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use JSON::PP;
use MIME::Base64;
use Mail::DMARC::PurePerl;
use Zone;

$| = 1;
my $json = JSON::PP->new->utf8->canonical;

while (my $line = <STDIN>) {
    my $case = $json->decode($line);
    my $zone = Zone->new;
    $zone->use_zone($case->{zone});
    my ($word, $domain, $detail) = ('none', '', '');
    eval {
        my ($header) = split /\r\n\r\n/, decode_base64($case->{message}), 2;
        $header =~ s/\r\n([ \t])/$1/g;
        my ($from) = map { /^From[ \t]*:(.*)/is ? $1 : () } split /\r\n/, $header;
        my $dmarc = Mail::DMARC::PurePerl->new;
        $dmarc->{resolver} = $zone;
        $dmarc->config->{report_store}{auto_save} = 0;
        $dmarc->source_ip($case->{ip});
        $dmarc->envelope_to('rcpt.example.com');
        $dmarc->envelope_from($case->{sender} =~ /\@(.*)/ ? $1 : '');
        $dmarc->header_from_raw('From:' . $from) if defined $from;
        $dmarc->spf([ map { { domain => $_, scope => 'mfrom', result => 'pass' } } @{ $case->{spf} } ]);
        $dmarc->dkim([ map { { domain => $_, selector => 's', result => 'pass', human_result => 'ok' } } @{ $case->{dkim} } ]);
        my $result = $dmarc->validate;
        $domain = eval { $dmarc->header_from } || '';
        $word   = $result->result;
        $word   = 'none' if $word eq 'fail' && !$dmarc->{policy};
        $detail = join ' ', map { $_->comment || $_->type } @{ $result->reason || [] };
        1;
    } or do { ($word, $detail) = ($@ =~ /^invalid header_from/ ? 'none' : 'crash', "$@") };
    print $json->encode({ id => $case->{id}, results => [ $word, lc $domain ], details => [ substr("$detail", 0, 200) ] }), "\n";
}
