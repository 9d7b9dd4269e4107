// Command kubelet is Kubernetes' own kubelet without the resizing of pods in place.
//
// Kubernetes 1.36 locks that feature on. Without control groups for pods (cgroupsPerQOS: false), which this node cannot
// have, the kubelet then dereferences a nil pointer and ends when it tries an image again that could not be pulled.
// Features are therefore those of 1.34, where it can be turned off.
package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/util/version"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kubelet/app"
)

const featuresOf = "1.34"

func main() {
	gate := utilfeature.DefaultMutableFeatureGate
	if err := gate.SetEmulationVersion(version.MustParse(featuresOf)); err != nil {
		fail(err)
	}
	if err := gate.SetFromMap(map[string]bool{"InPlacePodVerticalScaling": false}); err != nil {
		fail(err)
	}
	os.Exit(cli.Run(app.NewKubeletCommand(context.Background())))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "kubelet: features:", err)
	os.Exit(1)
}
