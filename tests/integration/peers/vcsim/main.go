// Command vcsim serves govmomi's simulated ESX host or vCenter over TLS on loopback.
//
// Debian packages the library alone, so this is the program around it. It prints one line of JSON
// when it serves, {"url": ..., "datastores": {name: local folder}}, and ends on SIGTERM or SIGINT.
// Its login is taken from VCSIM_USERNAME and VCSIM_PASSWORD, to keep it out of the process list.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

type options struct {
	esx       bool
	listen    string
	machines  int
	cert, key string
}

func main() {
	var opt options
	flag.BoolVar(&opt.esx, "esx", false, "one ESX host; otherwise a vCenter with a cluster")
	flag.StringVar(&opt.listen, "listen", "127.0.0.1:0", "address and port")
	flag.IntVar(&opt.machines, "vms", 0, "virtual machines in each resource pool")
	flag.StringVar(&opt.cert, "cert", "", "certificate file, PEM")
	flag.StringVar(&opt.key, "key", "", "key file, PEM")
	flag.Parse()
	if err := serve(opt); err != nil {
		log.Fatal(err)
	}
}

// serve makes the inventory, announces it, and returns when a signal has come.
func serve(opt options) error {
	model, err := inventory(opt)
	if err != nil {
		return err
	}
	defer model.Remove()

	pair, err := tls.LoadX509KeyPair(opt.cert, opt.key)
	if err != nil {
		return err
	}
	service := model.Service
	service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	service.RegisterEndpoints = true
	login := url.UserPassword(os.Getenv("VCSIM_USERNAME"), os.Getenv("VCSIM_PASSWORD"))
	service.Listen = &url.URL{Host: opt.listen, User: login}

	// Caught before the announcement, so that whoever read it can end us.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	server := service.NewServer()
	defer server.Close()

	address := *server.URL
	address.User = nil
	ready := map[string]interface{}{"url": address.String(), "datastores": datastores()}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	<-stop
	return nil
}

func inventory(opt options) (*simulator.Model, error) {
	model := simulator.VPX()
	if opt.esx {
		model = simulator.ESX()
	}
	model.Machine = opt.machines
	return model, model.Create()
}

// datastores tells in which local folder each datastore keeps its files.
func datastores() map[string]string {
	folders := make(map[string]string)
	for _, entity := range simulator.Map.All("Datastore") {
		if ds, ok := entity.(*simulator.Datastore); ok {
			info := ds.Info.GetDatastoreInfo()
			folders[info.Name] = info.Url
		}
	}
	return folders
}
