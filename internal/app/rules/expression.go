package rules

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"postseal"
	"postseal/domain"
	"postseal/internal/core/resultjson"
)

// Limits of an expression. Costs are in CEL's units, about one per step. The limit for an
// expression is its cost for the largest message (sizes), between minCost, a few milliseconds,
// and maxCost, a tenth of a second.
const (
	maxSource  = 4096 // octets
	maxNesting = 50
	minCost    = 50_000
	maxCost    = 1_000_000
)

// sizes are the limits of the lists that an expression may iterate over: what a listener stores
// of a message.
var sizes = map[string]uint64{"envelope.rcpt": 10_000, "dkim": 200, "dkim.@items.signed_fields": 2000, "spf": 2, "author.domains": 4,
	"arc.sealers": 50, "dmarc.aligned": 202}

// estimatedText is the size of a text that an estimate assumes.
const estimatedText = 320

// bounds estimates the cost of an expression for the largest message.
type bounds struct{}

// EstimateSize implements cost.Estimator.
func (bounds) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if most, ok := sizes[strings.Join(n.Path(), ".")]; ok {
		return &cost.SizeEstimate{Min: 0, Max: most}
	}
	if n.Type().IsExactType(cel.StringType) {
		return &cost.SizeEstimate{Min: 0, Max: estimatedText}
	}
	return nil
}

// EstimateCallCost implements cost.Estimator.
func (bounds) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// rule is a compiled [[rule]] entry.
type rule struct {
	entry
	action  postseal.Action
	onError postseal.Action // if the expression costs more than its limit
	program cel.Program
}

var actions = []string{string(postseal.Accept), string(postseal.Quarantine), string(postseal.Reject), string(postseal.Defer)}

func (b *compiler) rule(c *Rule) {
	r := &rule{action: postseal.Action(c.Action), onError: postseal.Action(cmp.Or(c.OnError, string(postseal.Defer)))}
	r.label = fmt.Sprint(b.index + 1)
	if c.Name != "" {
		r.label += " " + c.Name
	}
	if !printable(c.Name) {
		b.problem("name", "must be at most %d characters of one line", maxText)
	}
	switch {
	case c.Action == "":
		b.problem("", "a rule needs an action: %s", strings.Join(actions, ", "))
	case !slices.Contains(actions, c.Action):
		b.problem("action", "%q is not one of %s", c.Action, strings.Join(actions, ", "))
	}
	if c.OnError != "" && !slices.Contains(actions, c.OnError) {
		b.problem("on_error", "%q is not one of %s", c.OnError, strings.Join(actions, ", "))
	}
	if c.When == "" {
		b.problem("", "a rule needs an expression: when = 'dmarc.result == \"fail\"'")
	} else {
		r.program = b.compile(c.When)
	}
	if b.common(&r.entry, c.Override, postseal.LocalPolicy, c.Why, c.Until) && r.program != nil {
		b.set.rules = append(b.set.rules, r)
	}
}

// beforePlace returns the octets of a line, counted from 1, before a column, counted in characters from 0.
func beforePlace(source string, line, column int) string {
	lines := strings.Split(source, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	characters := []rune(lines[line-1])
	return string(characters[:min(max(0, column), len(characters))])
}

// compile type-checks an expression. Each of its errors is a problem with a position.
func (b *compiler) compile(source string) cel.Program {
	if len(source) > maxSource {
		b.problem("when", "is longer than %d octets", maxSource)
		return nil
	}
	if !utf8.ValidString(source) {
		b.problem("when", "is not UTF-8")
		return nil
	}
	env, err := environment()
	if err != nil {
		b.problem("when", "cannot be compiled: %v", err)
		return nil
	}
	ast, issues := env.Compile(source)
	for _, e := range issues.Errors() {
		text, syntax := syntaxInWords(strings.TrimSpace(e.Message), beforePlace(source, e.Location.Line(), e.Location.Column()))
		b.problem("when", "%s", text)
		p := &b.problems[len(b.problems)-1]
		p.Line, p.Column = max(1, e.Location.Line()), e.Location.Column()+1
		if syntax {
			break // what follows comes from the first
		}
	}
	if issues.Err() != nil {
		return nil
	}
	if ast.OutputType() != cel.BoolType {
		b.problem("when", "must be true or false, but is %s", ast.OutputType())
		return nil
	}
	if text := neverTrue(source); text != "" {
		b.problem("when", "%s", text)
		b.problems[len(b.problems)-1].Warning = true
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(b.costLimit(env, ast)))
	if err != nil {
		b.problem("when", "cannot be compiled: %v", err)
		return nil
	}
	return program
}

// syntaxError is how the parser of CEL reports a text that is not an expression.
var syntaxError = regexp.MustCompile(`(?s)^Syntax error: (token recognition error at:|mismatched input|extraneous input|no viable alternative at input|missing .* at) '(.*?)'( expecting .*)?$`)

// syntaxInWords says what is wrong with the syntax of an expression; syntax is false for any other
// error, whose text stays.
func syntaxInWords(message, before string) (text string, syntax bool) {
	m := syntaxError.FindStringSubmatch(message)
	if m == nil {
		return typeInWords(message, before), strings.HasPrefix(message, "Syntax error")
	}
	found := strings.TrimSpace(m[2])
	switch word := strings.ToLower(found); {
	case found == "=":
		return "= does not compare: write ==", true
	case word == "and":
		return "write && for " + found, true
	case word == "or":
		return "write || for " + found, true
	case word == "not":
		return "write ! for " + found, true
	case found == "<EOF>":
		return "the expression ends too early: a value, a quote or a bracket is missing", true
	case strings.HasPrefix(m[1], "token") && (strings.HasPrefix(found, `"`) || strings.HasPrefix(found, "'")):
		return "the closing quote of " + found + " is missing", true
	case strings.ContainsAny(found, "“”„«»‘’"):
		return "has the typographic quote " + found + ": write a plain quote", true
	case strings.HasPrefix(m[1], "token"):
		return found + " has no meaning here", true
	}
	return "an operator such as && or == is missing before " + found, true
}

// costLimit is the cost limit of an expression. An expression that may cost more for a large
// message is a warning.
func (b *compiler) costLimit(env *cel.Env, ast *cel.Ast) uint64 {
	estimate, err := env.EstimateCost(ast, bounds{})
	if err != nil || estimate.Max > maxCost {
		b.problem("when", "may cost more than %d steps for a message with many recipients or signatures: on_error then decides (defer by default)", maxCost)
		b.problems[len(b.problems)-1].Warning = true
		return maxCost
	}
	return max(minCost, estimate.Max)
}

// isTooCostly reports whether err says that an expression exceeded its cost limit.
func isTooCostly(err error) bool {
	cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err)
	return ok && cancelled.Cause == interpreter.CostLimitExceeded
}

// eval reports whether the expression is true. An error, such as spf[0] without an SPF result,
// is not a match.
func (r *rule) eval(v *verdict) (bool, error) {
	out, _, err := r.program.Eval(v)
	if err != nil {
		return false, err
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, errors.New("the expression is neither true nor false")
	}
	return yes, nil
}

// environment declares the variables of an expression. Nothing in it has side effects.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	object := func(v any) *cel.Type { return cel.ObjectType(reflect.TypeOf(v).String()) }
	types := []any{ext.ParseStructTag("json")}
	for _, value := range variables {
		if value != nil {
			types = append(types, reflect.TypeOf(value))
		}
	}
	return cel.NewEnv(
		ext.NativeTypes(types...),
		ext.Network(),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(2)),
		cel.Variable("decision", object(Verdict{})),
		cel.Variable("spf", cel.ListType(object(resultjson.SPF{}))),
		cel.Variable("dkim", cel.ListType(object(resultjson.DKIM{}))),
		cel.Variable("arc", object(resultjson.ARC{})),
		cel.Variable("dmarc", object(resultjson.DMARC{})),
		cel.Variable("iprev", object(IPRev{})),
		cel.Variable("author", object(Author{})),
		cel.Variable("client", object(Client{})),
		cel.Variable("envelope", object(Envelope{})),
		cel.Variable("list_id", cel.StringType),
		cel.Function("within", cel.MemberOverload("string_within_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(within))),
	)
})

// within reports whether one domain is another or a subdomain of it.
func within(a, b ref.Val) ref.Val {
	name, err := domain.Parse(string(a.(types.String)))
	if err != nil {
		return types.False
	}
	parent, err := domain.Parse(string(b.(types.String)))
	if err != nil {
		return types.NewErr("within: %v", err)
	}
	return types.Bool(name.Within(parent))
}
