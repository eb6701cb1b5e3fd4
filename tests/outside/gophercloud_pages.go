// Lists all nodes as gophercloud's users do, and prints how many there are.
package main

import (
	"fmt"
	"os"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/gophercloud/openstack/baremetal/v1/nodes"
)

func main() {
	client := &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{},
		Endpoint:       os.Args[1] + "/v1/",
		Type:           "baremetal",
		Microversion:   "1.80",
	}
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	pages, err := nodes.List(client, nodes.ListOpts{Fields: []string{"uuid", "name"}}).AllPages()
	fail(err)
	all, err := nodes.ExtractNodes(pages)
	fail(err)
	seen := map[string]bool{}
	for _, node := range all {
		seen[node.UUID] = true
	}
	detailed, err := nodes.ListDetail(client, nodes.ListOpts{SortKey: "name"}).AllPages()
	fail(err)
	sorted, err := nodes.ExtractNodes(detailed)
	fail(err)
	fmt.Println(len(all), len(seen), len(sorted))
}
