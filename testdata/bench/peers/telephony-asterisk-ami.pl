# Telephony::Asterisk::AMI 0.006. Events come one by one by read_response, which its documentation
# names for them; Event_Callback hears only those that come while an action waits. See README.md.
use strict;
use warnings;
use Telephony::Asterisk::AMI ();

my ($host, $port) = @ARGV;
my %state;
$| = 1;

sub go {
    my $ami = Telephony::Asterisk::AMI->new(Host => $host, Port => $port, Username => 'listener', Secret => 'secret');
    $ami->connect or die $ami->error;
    $ami->send_action(Action => 'Ping') or die $ami->error;
    my $count = 0;
    %state = ();
    while (1) {
        my $e = $ami->read_response;
        die $ami->error if ($e->{Response} // '') eq 'Error';
        next if ($e->{Event} // '') ne 'PresenceStateChange';
        last if $e->{Presentity} eq 'CustomPresence:999999';
        $count++;
        $state{ $e->{Presentity} } = [ $e->{Status}, $e->{Subtype}, $e->{Message} ];
    }
    print "end $count\n";
    $ami->disconnect or die $ami->error;
}

while (my $line = <STDIN>) {
    if ($line eq "go\n") {
        go();
    } else {
        print join('|', $_, @{ $state{$_} }), "\n" for keys %state;
        print ".\n";
    }
}
