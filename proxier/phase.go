package proxier

// Phase is a stretch of a [Plan]: operations that may run in one batch, all on
// one facility.
type Phase uint8

// Phases, in the order in which they run. A plan can end after any operation:
// no service is then reachable without its source NAT and its source ranges, no
// packet for it reaches a listener of the host, and everything of ours is
// provably ours.
const (
	CreateLink Phase = iota + 1
	CreateSets
	WithdrawRanges
	WithdrawDestinations
	AddHairpins
	AddMarkServers
	AddMarkDestinations
	AddEntries
	WriteRules
	AddServers
	AddDestinations
	OpenTuples
	AddAddresses
	CloseTuples
	RemoveServers
	RemoveAddresses
	RemoveEntries
	RemoveMarkServers
	RemoveHairpins
	DeleteFlows
	RemoveRules
	DestroySets
	DeleteLink
	lastPhase = DeleteLink
)

// phases is the order, and why.
var phases = [...]struct{ name, reason string }{
	CreateLink:           {"create link", "a link without addresses takes no packet; one that is down takes none either"},
	CreateSets:           {"create sets", "rules cannot name a set that is not there"},
	WithdrawRanges:       {"withdraw ranges", "a tuple that goes to another service must not let the clients of the old one in"},
	WithdrawDestinations: {"withdraw destinations", "nor the clients of the new service out to endpoints of the old one"},
	AddHairpins:          {"add hairpins", "an endpoint gets packets only once it can answer its own"},
	AddMarkServers:       {"add mark servers", "before the entries that send packets to them: a mark without a server falls back to the address, and so to all endpoints"},
	AddMarkDestinations:  {"add mark destinations", "apart from their servers: one that turns out to be somebody else's gets none of ours"},
	AddEntries:           {"add entries", "who may use a tuple, and behind which address, is said before anything answers there"},
	WriteRules:           {"write rules", "the sets are complete: a rule is right from its first packet"},
	AddServers:           {"add servers", "everything that guards them is there"},
	AddDestinations:      {"add destinations", "new ones join before old ones leave"},
	OpenTuples:           {"open tuples", "a tuple takes connections only once its server is there: no listener of the host gets them"},
	AddAddresses:         {"add addresses", "last: until now packets pass by, from now on everything is ready"},
	CloseTuples:          {"close tuples", "new connections are rejected before their server goes"},
	RemoveServers:        {"remove servers", "while the address is still ours: what comes now is rejected, not sent upstream"},
	RemoveAddresses:      {"remove addresses", "nothing answers there any more"},
	RemoveEntries:        {"remove entries", "source NAT and ranges hold until nothing is left to reach; the ledger goes last"},
	RemoveMarkServers:    {"remove mark servers", "no entry of a tuple that has a server sends packets to them any more"},
	RemoveHairpins:       {"remove hairpins", "no server has their endpoints any more"},
	DeleteFlows:          {"delete flows", "UDP has no end of its own: its flows would go on to what is gone, and with what is gone out of the way they cannot come back"},
	RemoveRules:          {"remove rules", "no service is left: a set cannot go while a rule names it"},
	DestroySets:          {"destroy sets", "nothing names them any more"},
	DeleteLink:           {"delete link", "it holds no address of ours"},
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
