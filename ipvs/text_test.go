package ipvs

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTextRoundTrip(t *testing.T) {
	for _, line := range []string{
		"-A -t 10.96.0.1:443 -s rr",
		"-E -u [fd00::1]:53 -s sh -p 300 -M 64 -b sh-fallback,sh-port",
		"-A -u 10.0.0.1:53 -s mh -p 50 -M 255.255.0.0 --pe sip -o -b mh-fallback,mh-port",
		"-A --sctp-service 10.0.0.1:5060 -s of-a-module -b flag-1,flag-3",
		"-Z -t 10.0.0.1:80",
		"-Z -f 4 -6",
		"-Z",
		"-A -f 17 -s wrr -p 10800 -M 255.255.255.0",
		"-D -f 4294967295 -6",
		"-D -t 10.96.0.1:443",
		"-a -t 10.96.0.1:443 -r 10.244.0.5:6443 -m -w 1",
		"-e -t 10.96.0.1:443 -r 10.244.0.5:443 -g -w 0 -x 10 -y 5",
		"-a -t 10.96.0.1:443 -r [fd00::5]:443 -i -w 1 --tun-type ipip",
		"-a -t 10.96.0.1:443 -r 10.1.0.1:443 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
		"-a -t 10.96.0.1:443 -r 10.1.0.1:443 -i -w 1 --tun-type gre --tun-csum",
		"-d -f 3 -6 -r [fd00::5]:0",
	} {
		var c Change
		require.NoError(t, c.UnmarshalText([]byte(line)), line)
		require.Equal(t, line, c.String())
		require.NoError(t, c.Validate(), line)
		text, err := c.AppendText([]byte("> "))
		require.NoError(t, err)
		require.Equal(t, "> "+line, string(text))

		if c.Op == AddService || c.Op == UpdateService {
			var s Service
			require.NoError(t, s.UnmarshalText([]byte(c.Service.String())))
			require.Equal(t, c.Service, s)
		}
		if c.Op == AddDestination {
			var d Destination
			require.NoError(t, d.UnmarshalText([]byte(c.Destination.String())))
			require.Equal(t, c.Destination, d)
		}
	}
}

// TestParseDefaults reads what ipvsadm takes but does not print.
func TestParseDefaults(t *testing.T) {
	for text, want := range map[string]string{
		"-A -t 10.0.0.1:80":                                      "-A -t 10.0.0.1:80 -s wlc",
		"-A -p -u 10.0.0.1 -s rr":                                "-A -u 10.0.0.1:0 -s rr -p 360",
		"-A -s rr -t 10.0.0.1:80 -p 9 -M 255.255.255.255":        "-A -t 10.0.0.1:80 -s rr -p 9",
		"-a -t 10.0.0.1:80 -r 10.0.0.2":                          "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g -w 1",
		"--add-server --tcp-service=10.0.0.1:80 -r [fd00::1] -i": "-a -t 10.0.0.1:80 -r [fd00::1]:80 -i -w 1 --tun-type ipip",
		"--add-service --fwmark-service 5 --ipv6 --scheduler sh --sched-flags sh-port,flag-1": "-A -f 5 -6 -s sh -b sh-fallback,sh-port",
		"-a -f 7 -r 10.0.0.2 -m -w 3 --u-threshold 5":                                         "-a -f 7 -r 10.0.0.2:0 -m -w 3 -x 5",
	} {
		var c Change
		require.NoError(t, c.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, c.String())
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "no command",
		"-t 10.0.0.1:80":                         "no command",
		"-A":                                     "no virtual server",
		"-A -s rr":                               "no virtual server",
		"-A -t":                                  "no value",
		"-A -t 10.0.0.1:http -s rr":              "as numbers",
		"-A -t example.org:80 -s rr":             "as numbers",
		"-A -t [fe80::1%eth0]:80 -s rr":          "zone",
		"-A -t 10.0.0.1:80 -u 10.0.0.1:80":       "a second time",
		"-A -D -t 10.0.0.1:80":                   "a second time",
		"-A -t 10.0.0.1:80 -6":                   "only with -f",
		"-A -f 0":                                "1 or more",
		"-A -f 4294967296":                       "want a number",
		"-A -t 10.0.0.1:80 -p 0":                 "1 or more",
		"-A -t 10.0.0.1:80 -s rr -b mh-port":     "unknown flag",
		"-A -t 10.0.0.1:80 -M x":                 "want a number",
		"-A -t 10.0.0.1:80 -r 10.0.0.2:80":       "does not take",
		"-D -t 10.0.0.1:80 -s rr":                "does not take",
		"-d -t 10.0.0.1:80 -r 10.0.0.2:80 -w 1":  "does not take",
		"-a -t 10.0.0.1:80":                      "no real server",
		"-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -g": "a second time",
		"-a -t 10.0.0.1:80 -r 10.0.0.2:80 -w -5": "want a number",
		"-a -t 10.0.0.1:80 -r 10.0.0.2:80 -w 2147483648":                      "want a number",
		"-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m --tun-type gue":                  "only with -i",
		"-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type x":                    "want ipip",
		"-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type gue --tun-port 70000": "want a number",
		"-Z -s rr":                         "does not take",
		"-Z -t 10.0.0.1:80 -r 10.1.0.1:80": "does not take",
	} {
		var c Change
		err := c.UnmarshalText([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.Zero(t, c)
	}
	var s Service
	require.ErrorContains(t, s.UnmarshalText([]byte("-A -t 10.0.0.1:80")), "unknown here")
	var d Destination
	require.ErrorContains(t, d.UnmarshalText([]byte("-t 10.0.0.1:80")), "unknown here")
	require.ErrorContains(t, d.UnmarshalText([]byte("-m")), "no real server")
}

// TestStringOfNonsense prints values that no kernel has.
func TestStringOfNonsense(t *testing.T) {
	require.Equal(t, "operation 0 --protocol-0 invalid:0", Change{}.String())
	require.Equal(t, "operation 9", Op(9).String())
	d := Destination{Forward: 5, Tunnel: TunnelConfig{Type: 9}}
	require.Equal(t, "-r invalid:0 --forward-5 -w 0", d.String())
	require.Equal(t, "9", TunnelType(9).String())
	s := Service{Key: MarkKey(4, 3), Timeout: 1500 * time.Millisecond, PersistenceBits: OddMask}
	require.Equal(t, "-f 3 -s  -p 1 -M 255", s.String())
}

// FuzzChangeText: what was read is printed so that it reads the same again.
func FuzzChangeText(f *testing.F) {
	for _, line := range []string{
		"-A -t 10.96.0.1:443 -s rr", "-E -u [fd00::1]:53 -s sh -p 300 -M 64 -b sh-fallback,sh-port",
		"-a -f 3 -6 -r [fd00::5] -i -w 1 --tun-type gue --tun-port 6080 --tun-csum", "-d --sctp-service 10.0.0.1:1 -r 10.0.0.2",
		"-A -f 3 -p -M 255.0.255.0 --pe=sip -o", "-a -t 1.2.3.4:5 -r 1.2.3.4 -x 4 -y 3", "-A -t [::ffff:1.2.3.4]:80 -M 300",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c, again Change
		if c.UnmarshalText([]byte(text)) != nil {
			return
		}
		printed := c.String()
		require.NoError(t, again.UnmarshalText([]byte(printed)), printed)
		require.Equal(t, c, again, printed)
		require.Equal(t, printed, again.String())
		require.False(t, strings.ContainsAny(printed, "\n\r"))
		_ = c.Validate()
	})
}
