#!/usr/bin/perl
# Mail::DKIM. One case a line on stdin, one answer a line on stdout.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use JSON::PP;
use MIME::Base64;
use Mail::DKIM::Verifier;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;
use Zone;

$| = 1;
my $json     = JSON::PP->new->utf8->canonical;
my $resolver = Zone->new;
Mail::DKIM::DNS::resolver($resolver);

while (my $line = <STDIN>) {
    my $case = $json->decode($line);
    $resolver->use_zone($case->{zone});
    my (@words, @details);
    eval {
        my $arc = $case->{kind} eq 'arc';
        my $verifier = $arc ? Mail::DKIM::ARC::Verifier->new : Mail::DKIM::Verifier->new;
        $verifier->PRINT(decode_base64($case->{message}));
        $verifier->CLOSE;
        if ($arc) {
            @words = ($verifier->result);
            @details = ($verifier->result_detail);
        }
        else {
            for my $signature ($verifier->signatures) {
                push @words,   $signature->result;
                push @details, $signature->result_detail;
            }
        }
        1;
    } or do { @words = ('crash'); @details = ("$@") };
    print $json->encode({ id => $case->{id}, results => \@words, details => [map { substr("$_", 0, 200) } @details] }), "\n";
}
