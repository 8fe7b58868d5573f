// A name server for a cluster: CoreDNS with nothing but the plugins that its Corefile in tests/cluster names. The full
// program compiles in the SDK of every cloud.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// The order in which a query passes through the plugins: template answers what kubernetes does not know.
func init() {
	dnsserver.Directives = []string{
		"bind", "ready", "errors", "cache", "loadbalance", "kubernetes", "template",
	}
}

func main() {
	coremain.Run()
}
