package proxier

// Phase is a stretch of a [Plan]: operations that may run in one batch, all on
// one facility.
type Phase uint8

// Phases, in the order in which they run. Every prefix of a plan leaves the
// host right: no service is reachable without its source NAT and its source
// ranges, no packet for it reaches a listener of the host.
const (
	CreateLink Phase = iota + 1
	CreateSets
	AddMarkServers
	AddEntries
	WriteRules
	AddServers
	OpenTuples
	AddAddresses
	CloseTuples
	RemoveServers
	RemoveAddresses
	DeleteFlows
	RemoveEntries
	RemoveMarkServers
	RemoveRules
	DestroySets
	DeleteLink
	lastPhase = DeleteLink
)

// phases is the order, and why.
var phases = [...]struct{ name, reason string }{
	CreateLink:        {"create link", "a link without addresses takes no packet"},
	CreateSets:        {"create sets", "rules cannot name a set that is not there"},
	AddMarkServers:    {"add mark servers", "before the entries that send packets to them: a mark without a server falls back to the address, and so to all endpoints"},
	AddEntries:        {"add entries", "who may use a tuple, and behind which address, is said before anything answers there"},
	WriteRules:        {"write rules", "the sets are complete: a rule is right from its first packet"},
	AddServers:        {"add servers", "new destinations join before old ones leave"},
	OpenTuples:        {"open tuples", "a tuple takes connections only once its server is there: no listener of the host gets them"},
	AddAddresses:      {"add addresses", "last: until now packets pass by, from now on everything is ready"},
	CloseTuples:       {"close tuples", "new connections are rejected before their server goes"},
	RemoveServers:     {"remove servers", "while the address is still ours: what comes now is rejected, not sent upstream"},
	RemoveAddresses:   {"remove addresses", "nothing answers there any more"},
	DeleteFlows:       {"delete flows", "UDP has no end of its own: its flows would go on to what is gone"},
	RemoveEntries:     {"remove entries", "source NAT and ranges hold until nothing is left to reach; the ledger goes last"},
	RemoveMarkServers: {"remove mark servers", "no entry sends packets to them any more"},
	RemoveRules:       {"remove rules", "no service is left: a set cannot go while a rule names it"},
	DestroySets:       {"destroy sets", "nothing names them any more"},
	DeleteLink:        {"delete link", "it holds no address of ours"},
}

// String returns the phase's name, such as "add servers".
func (p Phase) String() string {
	if p == 0 || p > lastPhase {
		return "no phase"
	}
	return phases[p].name
}

// Reason returns why the phase comes where it does.
func (p Phase) Reason() string {
	if p == 0 || p > lastPhase {
		return ""
	}
	return phases[p].reason
}
