package ipvs

import (
	"time"

	"github.com/vipkit/vipkit/internal/nl"
)

// statsReader reads counters, those of 64 bits in preference.
type statsReader struct {
	Stats
	wide, skip bool
}

func (r *statsReader) read(nest nl.Attr, wide bool) bool {
	if r.skip || r.wide && !wide {
		return true
	}
	r.Stats, r.wide = Stats{}, wide
	for data := nest.Data; len(data) > 0; {
		var a nl.Attr
		var ok bool
		if a, data, ok = nl.Next(data); !ok {
			return false
		}
		v, ok := a.U64()
		if len(a.Data) == 4 {
			var narrow uint32
			narrow, ok = a.U32()
			v = uint64(narrow)
		}
		switch a.Type {
		case statConnections:
			r.Connections = v
		case statPacketsIn:
			r.PacketsIn = v
		case statPacketsOut:
			r.PacketsOut = v
		case statBytesIn:
			r.BytesIn = v
		case statBytesOut:
			r.BytesOut = v
		case statConnectionRate:
			r.Rates.Connections = v
		case statPacketRateIn:
			r.Rates.PacketsIn = v
		case statPacketRateOut:
			r.Rates.PacketsOut = v
		case statByteRateIn:
			r.Rates.BytesIn = v
		case statByteRateOut:
			r.Rates.BytesOut = v
		default:
			continue // padding
		}
		if !ok {
			return false
		}
	}
	return true
}

// decodeInfo reads the answer to cmdGetInfo.
func decodeInfo(m nl.Message) (info Info, ok bool) {
	if len(m.Data) < 4 || !nl.ValidAttrs(m.Data[4:]) {
		return info, false
	}
	var version uint32
	has := 0
	for a := range nl.Attrs(m.Data[4:]) {
		ok := true
		switch a.Type {
		case infoVersion:
			version, ok = a.U32()
			has |= 1
		case infoTableSize:
			info.ConnTableSize, ok = a.U32()
			has |= 2
		}
		if !ok {
			return info, false
		}
	}
	info.Version = [3]uint8{uint8(version >> 16), uint8(version >> 8), uint8(version)}
	return info, has == 3
}

// decodeTimeouts reads the answer to cmdGetConfig, which lacks protocols that the
// kernel lacks.
func decodeTimeouts(m nl.Message) (t Timeouts, ok bool) {
	if len(m.Data) < 4 {
		return t, false
	}
	for rest := m.Data[4:]; len(rest) > 0; {
		var a nl.Attr
		if a, rest, ok = nl.Next(rest); !ok {
			return Timeouts{}, false
		}
		seconds, ok := a.U32()
		d := time.Duration(seconds) * time.Second
		switch a.Type {
		case attrTimeoutTCP:
			t.TCP = d
		case attrTimeoutTCPFin:
			t.TCPFin = d
		case attrTimeoutUDP:
			t.UDP = d
		default:
			continue
		}
		if !ok {
			return Timeouts{}, false
		}
	}
	return t, true
}

// decodeDaemon reads a synchronisation daemon.
func decodeDaemon(m nl.Message) (d Daemon, ok bool) {
	data, ok := nestedIn(m, attrDaemon)
	if !ok {
		return d, false
	}
	var state, id uint32
	for len(data) > 0 {
		var a nl.Attr
		if a, data, ok = nl.Next(data); !ok {
			return d, false
		}
		switch a.Type {
		case daemonState:
			state, ok = a.U32()
		case daemonInterface:
			d.Interface = a.String()
		case daemonSyncID:
			id, ok = a.U32()
		case daemonMaxLen:
			d.MaxLen, ok = a.U16()
		case daemonGroup, daemonGroup6:
			d.Group, ok = a.Addr()
		case daemonPort:
			d.Port, ok = a.U16()
		case daemonTTL:
			d.TTL, ok = a.U8()
		}
		if !ok {
			return d, false
		}
	}
	if state > 255 || id > 255 || state == 0 {
		return d, false
	}
	d.State, d.SyncID = DaemonState(state), uint8(id)
	return d, true
}
