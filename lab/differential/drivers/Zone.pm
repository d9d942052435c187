# The DNS of a case, in the shape of Net::DNS::Resolver: see zone.go.
package Zone;
use strict;
use warnings;
use Net::DNS;

sub new { my ($class) = @_; return bless { error => '' }, $class }

sub use_zone { my ($self, $zone) = @_; $self->{zone} = $zone }

sub errorstring { $_[0]{error} }

# query is send, with undef for an answer without records.
sub query {
    my $packet = $_[0]->send(@_[1, 2]);
    return $packet && $packet->answer ? $packet : undef;
}

sub send {
    my ($self, $name, $type) = @_;
    $self->{error} = '';
    my $wire = $name;
    $name = lc $name;
    $name =~ s/\.+$//;
    my $packet = eval { Net::DNS::Packet->new('question.invalid', $type, 'IN') };
    $packet->header->qr(1);
    my $asked = $name;
    for (1 .. 10) {
        if (my $fault = $self->{zone}{fault}{"$name $type"}) {
            if ($fault eq 'TIMEOUT') { $self->{error} = 'query timed out'; return undef }
            $self->{error} = $fault;
            $packet->header->rcode('SERVFAIL');
            return $packet;
        }
        my $sets = $self->{zone}{rr}{$name} || {};
        if (!$sets->{CNAME}) {
            $packet->header->rcode('NXDOMAIN') unless $self->{zone}{exists}{$name};
            $packet->push(answer => map { record($asked, $type, $_) } @{ $sets->{$type} || [] });
            $self->{error} = $packet->header->rcode;
            return $packet;
        }
        $name = lc $sets->{CNAME}[0];
        $name =~ s/\.+$//;
    }
    $self->{error} = 'SERVFAIL';
    $packet->header->rcode('SERVFAIL');
    return $packet;
}

sub record {
    my ($name, $type, $data) = @_;
    my %rr = (name => $name, type => $type, ttl => 60, class => 'IN');
    if    ($type eq 'TXT')  { $rr{txtdata} = [ unpack('(a255)*', $data) ]; $rr{txtdata} = [''] unless @{ $rr{txtdata} } }
    elsif ($type eq 'A' || $type eq 'AAAA') { $rr{address} = $data }
    elsif ($type eq 'MX')   { @rr{qw(preference exchange)} = split / /, $data }
    elsif ($type eq 'PTR')  { $rr{ptrdname} = $data }
    else                    { return () }
    my $made = eval { Net::DNS::RR->new(%rr) };
    return $made ? ($made) : ();
}

1;
