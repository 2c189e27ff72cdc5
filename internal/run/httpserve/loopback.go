package httpserve

import (
	"net"
	"strings"
)

// IsLoopback reports whether an address or a Host header, with or without a port, names this machine itself. A server that
// asks for no password answers only to such a name: a web page must not reach it through the name of its own site (DNS
// rebinding).
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
