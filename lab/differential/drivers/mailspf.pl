#!/usr/bin/perl
# Mail::SPF. One case a line on stdin, one answer a line on stdout.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use JSON::PP;
use Mail::SPF;
use Zone;

$| = 1;
my $json     = JSON::PP->new->utf8->canonical;
my $resolver = Zone->new;
my $server   = Mail::SPF::Server->new(dns_resolver => $resolver, hostname => 'unknown', query_rr_types => Mail::SPF::Server->query_rr_type_txt,
    max_void_dns_lookups => 2, default_authority_explanation => 'DEFAULT');

while (my $line = <STDIN>) {
    my $case = $json->decode($line);
    $resolver->use_zone($case->{zone});
    my ($word, $detail) = ('', '');
    eval {
        my ($scope, $identity) = $case->{sender} eq '' ? ('helo', $case->{helo}) : ('mfrom', $case->{sender});
        my $request = Mail::SPF::Request->new(versions => [1], scope => $scope, identity => $identity, ip_address => $case->{ip}, helo_identity => $case->{helo});
        my $result = $server->process($request);
        $word   = $result->code;
        $detail = $result->can('authority_explanation') ? $result->authority_explanation : $result->text;
        1;
    } or do { $word = 'crash'; $detail = ref $@ && $@->can('text') ? ref($@) . ': ' . $@->text : "$@" };
    print $json->encode({ id => $case->{id}, results => [$word], details => [substr("$detail", 0, 200)] }), "\n";
}
