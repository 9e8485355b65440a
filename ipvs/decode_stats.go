package ipvs

import "github.com/vipkit/vipkit/internal/nl"

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
