package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// scriptJob is a command of a script, and scriptResult what it did.
type scriptJob struct {
	Dir  string
	Env  map[string]string
	Args []string
	In   string
}

type scriptResult struct {
	Code     int
	Out, Err string
}

// run executes j in this process.
func (j *scriptJob) run() scriptResult {
	if err := os.Chdir(j.Dir); err != nil {
		return scriptResult{Code: exitInternal, Err: err.Error()}
	}
	os.Clearenv()
	for name, value := range j.Env {
		os.Setenv(name, value)
	}
	var out, errs bytes.Buffer
	code := Main(j.Args, strings.NewReader(j.In), &out, &errs)
	return scriptResult{code, out.String(), errs.String()}
}

// helperName is the command of the test binary that does jobs from standard input until it ends.
const helperName = "postseal-helper"

func helperMain() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var j scriptJob
		if in.Decode(&j) != nil || out.Encode(j.run()) != nil {
			return
		}
	}
}

// helper is a process that does the jobs of scripts, one at a time: a process has one working directory
// and one environment.
type helper struct {
	cmd     *exec.Cmd
	in      io.Closer
	jobs    *json.Encoder
	results *json.Decoder
}

// helpers are idle. One that is nil has not been started.
var helpers = make(chan *helper, 4)

func init() {
	for range cap(helpers) {
		helpers <- nil
	}
}

func startHelper() (*helper, error) {
	cmd := exec.Command(helperName)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &helper{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, cmd.Start()
}

// doJob lets an idle helper do j. A helper that fails is a failure of j.
func doJob(j *scriptJob) scriptResult {
	h := <-helpers
	defer func() { helpers <- h }()
	var r scriptResult
	var err error
	if h == nil {
		h, err = startHelper()
	}
	if err == nil {
		err = errors.Join(h.jobs.Encode(j), h.results.Decode(&r))
	}
	if err != nil {
		return scriptResult{Code: exitInternal, Err: fmt.Sprintf("helper: %v", err)}
	}
	return r
}

// runAt runs the program in a directory of the repository, because its output has the names of files as
// they were given.
func runAt(dir string, args ...string) (code int, stdout, stderr string) {
	r := doJob(&scriptJob{Dir: source(dir), Env: map[string]string{"LANG": "C.UTF-8"}, Args: args})
	return r.Code, r.Out, r.Err
}

// stopHelpers ends the helpers. Their exit code reports data races.
func stopHelpers() error {
	var failed []error
	for range cap(helpers) {
		if h := <-helpers; h != nil {
			h.in.Close()
			failed = append(failed, h.cmd.Wait())
		}
	}
	return errors.Join(failed...)
}
