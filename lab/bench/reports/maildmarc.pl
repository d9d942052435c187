#!/usr/bin/perl
# Mail::DMARC reads reports, or stores messages for reports, as its own programs do.
# Usage: maildmarc.pl DIR read|store NUMBER [REPORTS]
use strict;
use warnings;
use IO::Uncompress::Gunzip qw(gunzip);
use DBI;
use Mail::DMARC::PurePerl;
use Mail::DMARC::Report::Receive;

my ($dir, $what, $n, $reports) = @ARGV;
my $usual = (grep { -e } map { "$_/auto/share/dist/Mail-DMARC/mail-dmarc.ini" } @INC, '/usr/share/perl5')[0];
open my $in, '<', $usual or die "$usual: $!";
my @lines = <$in>;
close $in;
open my $out, '>', "$dir/mail-dmarc.ini" or die $!;
for (@lines) { s{^dsn\b.*}{dsn = dbi:SQLite:dbname=$dir/maildmarc.sqlite}; print $out $_ }
close $out;

if ($what eq 'read') {
    my @files = sort glob("$dir/$reports/*.gz");
    for my $file (@files[ 0 .. $n - 1 ]) {
        gunzip($file => \my $xml) or die "$file";
        my $r = Mail::DMARC::Report::Receive->new;
        $r->config("$dir/mail-dmarc.ini");
        $r->report->config("$dir/mail-dmarc.ini");
        $r->handle_body($xml);
    }
    exit 0;
}
for my $i (1 .. $n) {
    my $d = Mail::DMARC::PurePerl->new;
    $d->config("$dir/mail-dmarc.ini");
    $d->report->config("$dir/mail-dmarc.ini");
    $d->source_ip('192.0.2.' . $i % 256);
    $d->envelope_to('example.org');
    $d->envelope_from('example.com');
    $d->header_from('example.com');
    $d->spf([ { domain => 'example.com', scope => 'mfrom', result => 'pass' } ]);
    $d->dkim([ { domain => 'example.com', selector => 's1', result => 'pass', human_result => 'ok' } ]);
    my $policy = Mail::DMARC::Policy->new('v=DMARC1; p=reject; rua=mailto:r@example.com');
    $policy->domain('example.com');
    $d->result->published($policy);
    $d->result->result('pass');
    $d->result->disposition('none');
    $d->result->dkim('pass');
    $d->result->spf('pass');
    $d->Mail::DMARC::save_aggregate();
}
my $db = DBI->connect("dbi:SQLite:dbname=$dir/maildmarc.sqlite", '', '');
my ($stored) = $db->selectrow_array('SELECT count(*) FROM report_record r JOIN report p ON p.id = r.report_id JOIN author a ON a.id = p.author_id WHERE a.org_name NOT LIKE "rx%"') // 0;
die "stored $stored of $n\n" if $stored < $n;
