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
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

type options struct {
	esx           bool
	listen        string
	machines      int
	cert, key     string
	delay         int
	methodDelays  string
	traceMessages bool
}

func main() {
	var opt options
	flag.BoolVar(&opt.esx, "esx", false, "one ESX host; otherwise a vCenter with a cluster")
	flag.StringVar(&opt.listen, "listen", "127.0.0.1:0", "address and port")
	flag.IntVar(&opt.machines, "vms", 0, "virtual machines in each resource pool")
	flag.StringVar(&opt.cert, "cert", "", "certificate file, PEM")
	flag.StringVar(&opt.key, "key", "", "key file, PEM")
	flag.IntVar(&opt.delay, "delay", 0, "milliseconds before each answer")
	flag.StringVar(&opt.methodDelays, "method-delay", "", "Method:milliseconds,...")
	flag.BoolVar(&opt.traceMessages, "trace", false, "log each message to stderr")
	flag.Parse()
	if err := serve(opt); err != nil {
		log.Fatal(err)
	}
}

// serve makes the inventory, announces it, and returns when a signal has come.
func serve(opt options) error {
	simulator.Trace = opt.traceMessages
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
	model.DelayConfig.Delay = opt.delay
	delays, err := parseDelays(opt.methodDelays)
	if err != nil {
		return nil, err
	}
	model.DelayConfig.MethodDelay = delays
	return model, model.Create()
}

func parseDelays(text string) (map[string]int, error) {
	delays := make(map[string]int)
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, fmt.Errorf("%q is not Method:milliseconds", item)
		}
		ms, err := strconv.Atoi(item[i+1:])
		if err != nil {
			return nil, err
		}
		delays[item[:i]] = ms
	}
	return delays, nil
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
