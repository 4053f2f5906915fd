package speaker

import (
	"fmt"
	"strconv"
	"strings"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// errorCodes names the error codes of RFC 4271 section 4.5 and RFC 7313.
var errorCodes = map[uint8]string{
	1: "Message Header Error", 2: "OPEN Message Error", 3: "UPDATE Message Error", 4: "Hold Timer Expired",
	5: "Finite State Machine Error", 6: "Cease", 7: "ROUTE-REFRESH Message Error", 8: "Send Hold Timer Expired",
}

// subcodes names those an operator can do something about (RFC 4271 section 6.2, RFC 4486, RFC 8538, RFC 9384).
var subcodes = map[[2]uint8]string{
	{2, 1}: "Unsupported Version Number", {2, 2}: "Bad Peer AS", {2, 3}: "Bad BGP Identifier",
	{2, 4}: "Unsupported Optional Parameter", {2, 6}: "Unacceptable Hold Time", {2, 7}: "Unsupported Capability",
	{2, 11}: "Role Mismatch",
	{6, 1}:  "Maximum Number of Prefixes Reached", {6, 2}: "Administrative Shutdown", {6, 3}: "Peer De-configured",
	{6, 4}: "Administrative Reset", {6, 5}: "Connection Rejected", {6, 6}: "Other Configuration Change",
	{6, 7}: "Connection Collision Resolution", {6, 8}: "Out of Resources", {6, 9}: "Hard Reset", {6, 10}: "BFD Down",
}

// describe is a NOTIFICATION in words. Text from the other side is quoted, so that whatever octets it is made of can
// neither break a terminal nor look like ours (RFC 9003 section 4).
func describe(sent bool, f gobgplog.Fields) string {
	var b strings.Builder
	b.WriteString("received NOTIFICATION")
	if sent {
		b.Reset()
		b.WriteString("sent NOTIFICATION")
	}
	code, known := f["Code"].(uint8)
	sub, _ := f["Subcode"].(uint8)
	e, _ := f["Data"].(*packet.MessageError)
	if e != nil {
		code, sub, known = e.TypeCode, e.SubTypeCode, true
	}
	if known {
		fmt.Fprintf(&b, " %d/%d (%s)", code, sub, nameOf(code, sub))
	}
	if text, _ := f["Communicated-Reason"].(string); text != "" {
		b.WriteString(": " + strconv.Quote(text))
	} else if e != nil && e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

func nameOf(code, sub uint8) string {
	name := errorCodes[code]
	if name == "" {
		name = "unknown error code"
	}
	if s := subcodes[[2]uint8{code, sub}]; s != "" {
		name += ", " + s
	}
	return name
}
