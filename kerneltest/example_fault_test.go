package kerneltest_test

import (
	"context"
	"fmt"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// runProxy stands for the code under test: one run of a proxy.
func runProxy(kernel proxier.Kernel) error {
	p, err := proxier.New(kernel, nil)
	if err != nil {
		return err
	}
	services, err := proxier.ParseServices("service web tcp\n frontend ClusterIP 10.96.0.1:80\n endpoint 10.244.0.5:80")
	if err != nil {
		return err
	}
	_, err = p.ApplyServices(context.Background(), services)
	return err
}

// A proxy dies at every write in turn. The next start has to make of the rest what
// a start that nothing disturbed makes.
func ExampleAt() {
	undisturbed := kerneltest.New()
	rec := kerneltest.Record(undisturbed.Kernel())
	if err := runProxy(rec.Kernel()); err != nil {
		fmt.Println(err)
		return
	}
	want := undisturbed.Dump("vipkit0")
	for k := range rec.Writes() {
		host := kerneltest.New()
		dying := kerneltest.Record(host.Kernel())
		dying.Fault = kerneltest.At(k, kerneltest.Fault{Crash: true})
		if runProxy(dying.Kernel()) == nil {
			fmt.Printf("write %d failed, and nobody was told\n", k)
		}
		if err := runProxy(host.Kernel()); err != nil {
			fmt.Printf("after a crash at write %d: %v\n", k, err)
		}
		if have := host.Dump("vipkit0"); have != want {
			fmt.Printf("after a crash at write %d:\n%s", k, have)
		}
	}
	fmt.Println("mended")
	// Output:
	// mended
}

// One in twenty of all reads and writes fails in one way or another. A proxy that tries
// again arrives, whatever the seed; a seed that shows otherwise is a test.
func ExampleRandom() {
	undisturbed := kerneltest.New()
	if err := runProxy(undisturbed.Kernel()); err != nil {
		fmt.Println(err)
		return
	}
	want := undisturbed.Dump("vipkit0")
	for seed := range uint64(20) {
		host := kerneltest.New()
		rec := kerneltest.Record(host.Kernel())
		rec.Fault = kerneltest.Random(seed, 20, kerneltest.WriteFaults()...)
		rec.ReadFault = kerneltest.Random(seed, 20, kerneltest.ReadFaults()...)
		err := runProxy(rec.Kernel())
		for try := 0; err != nil && try < 100; try++ {
			err = runProxy(rec.Kernel())
		}
		if have := host.Dump("vipkit0"); err != nil || have != want {
			fmt.Printf("seed %d: %v\n%s", seed, err, have)
		}
	}
	fmt.Println("arrived")
	// Output:
	// arrived
}
