// Templates and what the stock kubectl prints for them (kubectl label --local -o go-template=...).
// When a template ends in an error, it is what was written until then, "run: " and the error.
#include "kubectl/go_template.h"

#include <gtest/gtest.h>

#include "kubectl/go_format.h"
#include "kubectl/kyaml.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

constexpr const char* kObject =
    R"~({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a","labels":{"b":"two","x":"1"}},
"spec":{"i":3,"big":9007199254740993,"f":1.5,"f2":1000000.5,"f3":1e21,"neg":-4,"zero":0,"yes":true,"no":false,"n":null,
"s":"héllo","empty":"","html":"<a href='x'>&\"</a>","b64":"aGk=","l":["a","b","c"],
"m":{"z":1,"a":[1,"x",null,{}],"k":null},"e":{},"el":[],"lm":[{"name":"one","v":1},{"name":"two"}],
"ports":[80,443],"ctl":"a\tb\nc\u0001"}})~";

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

std::string fill(std::string_view text, const Value& data, bool allow_missing = true) {
  Result<GoTemplate> t = GoTemplate::parse("output", text);
  if (!t.ok()) return "parse: " + t.status().message();
  t->set_allow_missing(allow_missing);
  std::string out;
  Status run = t->execute(data, &out);
  return run.ok() ? out : out + "run: " + run.message();
}

struct Case {
  const char *text, *want;
};

const Case kCases[] = {
    {R"~(plain text)~", R"~(plain text)~"},
    {R"~({{.metadata.name}})~", R"~(a)~"},
    {R"~({{ .metadata.name }}|{{.kind}})~", R"~(a|Foo)~"},
    {R"~(a {{- 1 -}} b)~", R"~(a1b)~"},
    {R"~(a {{- /* note */ -}} b)~", R"~(ab)~"},
    {R"~(a {{/* note */}} b)~", R"~(a  b)~"},
    {R"~({{/* note */ -}}   x)~", R"~(x)~"},
    {R"~(a   {{- "x"}})~", R"~(ax)~"},
    {R"~({{"x" -}}   b)~", R"~(xb)~"},
    {R"~({{- 3}})~", R"~(3)~"},
    {R"~({{-3}})~", R"~(-3)~"},
    {R"~({{.spec}})~",
     "map[b64:aGk= big:9007199254740993 ctl:a\tb\nc\001 e:map[] el:[] empty: f:1.5 "
     "f2:1.0000005e+06 f3:1e+21 html:<a href='x'>&\"</a> i:3 l:[a b c] lm:[map[name:one v:1] "
     "map[name:two]] m:map[a:[1 x <nil> map[]] k:<nil> z:1] n:<nil> neg:-4 no:false ports:[80 443] "
     "s:héllo yes:true zero:0]"},
    {R"~({{.spec.l}} {{.spec.m}} {{.spec.e}} {{.spec.el}})~",
     R"~([a b c] map[a:[1 x <nil> map[]] k:<nil> z:1] map[] [])~"},
    {R"~({{.spec.f}} {{.spec.f2}} {{.spec.f3}} {{.spec.big}} {{.spec.neg}})~",
     R"~(1.5 1.0000005e+06 1e+21 9007199254740993 -4)~"},
    {R"~({{.spec.yes}} {{.spec.no}} {{.spec.n}} {{.spec.empty}}|)~",
     R"~(true false <no value> |)~"},
    {R"~({{.spec.nope}})~", R"~(<no value>)~"},
    {R"~({{.spec.nope.deep.er}})~", R"~(<no value>)~"},
    {R"~({{.spec.i.y}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.i.y>: can't evaluate field y in type interface {})~"},
    {R"~({{.spec.s.y}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.s.y>: can't evaluate field y in type interface {})~"},
    {R"~({{.spec.l.y}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.l.y>: can't evaluate field y in type interface {})~"},
    {R"~({{.spec.n.y}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.n.y>: nil pointer evaluating interface {}.y)~"},
    {R"~({{.spec.m.k.z}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.m.k.z>: nil pointer evaluating interface {}.z)~"},
    {R"~({{$.kind}} {{$.spec.i}})~", R"~(Foo 3)~"},
    {R"~({{.}})~",
     "map[apiVersion:example.com/v1 kind:Foo metadata:map[labels:map[b:two x:1] name:a] "
     "spec:map[b64:aGk= big:9007199254740993 ctl:a\tb\nc\001 e:map[] el:[] empty: f:1.5 "
     "f2:1.0000005e+06 f3:1e+21 html:<a href='x'>&\"</a> i:3 l:[a b c] lm:[map[name:one v:1] "
     "map[name:two]] m:map[a:[1 x <nil> map[]] k:<nil> z:1] n:<nil> neg:-4 no:false ports:[80 443] "
     "s:héllo yes:true zero:0]]"},
    {R"~({{if .spec.yes}}y{{else}}n{{end}})~", R"~(y)~"},
    {R"~({{if .spec.zero}}y{{else}}n{{end}}{{if .spec.empty}}y{{else}}n{{end}}{{if .spec.e}}y{{else}}n{{end}}{{if .spec.el}}y{{else}}n{{end}}{{if .spec.n}}y{{else}}n{{end}}{{if .nope}}y{{else}}n{{end}})~",
     R"~(nnnnnn)~"},
    {R"~({{if 0.0}}y{{else if .spec.l}}list{{else}}n{{end}})~", R"~(list)~"},
    {R"~({{if false}}a{{else if false}}b{{else if eq 1 1}}c{{else}}d{{end}})~", R"~(c)~"},
    {R"~({{if not .spec.no}}{{if and .spec.yes .spec.i}}both{{end}}{{end}})~", R"~(both)~"},
    {R"~({{with .spec.m}}{{.z}}{{end}})~", R"~(1)~"},
    {R"~({{with .nope}}x{{else}}none{{end}})~", R"~(none)~"},
    {R"~({{with .nope}}x{{else with .spec.s}}{{.}}{{else}}none{{end}})~", R"~(héllo)~"},
    {R"~({{with $x := 5}}{{$x}}{{.}}{{end}})~", R"~(55)~"},
    {R"~({{with .spec.i}}{{.x}}{{end}})~",
     R"~(run: template: output:1:18: executing "output" at <.x>: can't evaluate field x in type int64)~"},
    {R"~({{range .spec.l}}<{{.}}>{{end}})~", R"~(<a><b><c>)~"},
    {R"~({{range $e := .spec.l}}{{$e}},{{end}})~", R"~(a,b,c,)~"},
    {R"~({{range $i, $e := .spec.l}}{{$i}}={{$e}} {{end}})~", R"~(0=a 1=b 2=c )~"},
    {R"~({{range $k, $v := .spec.m}}{{$k}}={{$v}};{{end}})~",
     R"~(a=[1 x <nil> map[]];k=<no value>;z=1;)~"},
    {R"~({{range .spec.el}}x{{else}}empty{{end}})~", R"~(empty)~"},
    {R"~({{range .nope}}x{{else}}none{{end}})~", R"~(none)~"},
    {R"~({{range .spec.n}}x{{else}}null{{end}})~", R"~(null)~"},
    {R"~({{range .spec.l}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}})~", R"~(ac)~"},
    {R"~({{range .spec.l}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}})~", R"~(a)~"},
    {R"~({{range $i := 3}}{{$i}}{{end}} {{range 2}}{{.}}{{end}} {{range .spec.i}}{{printf "%T" .}}{{end}} {{range 0}}x{{else}}zero{{end}})~",
     R"~(012 01 int64int64int64 zero)~"},
    {R"~({{range $i, $e := 3}}{{end}})~",
     R"~(run: template: output:1:18: executing "output" at <3>: can't use 3 to iterate over more than one variable)~"},
    {R"~({{range .spec.s}}x{{end}})~",
     R"~(run: template: output:1:13: executing "output" at <.spec.s>: range can't iterate over héllo)~"},
    {R"~({{range .spec.yes}}{{end}})~",
     R"~(run: template: output:1:13: executing "output" at <.spec.yes>: range can't iterate over true)~"},
    {R"~({{range .spec.f}}{{end}})~",
     R"~(run: template: output:1:13: executing "output" at <.spec.f>: range can't iterate over 1.5)~"},
    {R"~({{range .spec.l}}{{.x}}{{end}})~",
     R"~(run: template: output:1:19: executing "output" at <.x>: can't evaluate field x in type interface {})~"},
    {R"~({{range .spec.lm}}{{.name}} {{.v}};{{end}})~", R"~(one 1;two <no value>;)~"},
    {R"~({{range .spec.lm}}{{.name.x}}{{end}})~",
     R"~(run: template: output:1:25: executing "output" at <.name.x>: can't evaluate field x in type interface {})~"},
    {R"~({{range $i, $e := .spec.lm}}{{if $i}}, {{end}}{{$e.name}}{{end}})~", R"~(one, two)~"},
    {R"~({{$i := 7}}{{range $i, $e = .spec.l}}{{end}})~",
     R"~(run: template: output:1:33: executing "output" at <.spec.l>: undefined variable: $e)~"},
    {R"~({{$i := 7}}{{$e := 8}}{{range $i, $e = .spec.l}}{{end}}{{$i}}{{$e}})~", R"~(2c)~"},
    {R"~({{$e := 8}}{{range $e = .spec.l}}{{end}}{{$e}})~", R"~(c)~"},
    {R"~({{$x := 1}}{{$x = 2}}{{$x}})~", R"~(2)~"},
    {R"~({{$x := 1}}{{if true}}{{$x = 2}}{{$y := 3}}{{$y}}{{end}}{{$x}})~", R"~(32)~"},
    {R"~({{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}})~", R"~(21)~"},
    {R"~({{$x := .spec.m}}{{$x.z}} {{($x).z}} {{$x.k}})~", R"~(1 1 <no value>)~"},
    {R"~({{$x}})~", R"~(parse: template: output:1: undefined variable "$x")~"},
    {R"~({{$x = 1}})~",
     R"~(run: template: output:1:7: executing "output" at <1>: undefined variable: $x)~"},
    {R"~({{if true}}{{$y := 3}}{{end}}{{$y}})~",
     R"~(parse: template: output:1: undefined variable "$y")~"},
    {R"~({{define "t"}}[{{.}}]{{end}}{{template "t" .spec.i}}{{template "t"}}{{template "t" "a"}})~",
     R"~([3][<no value>][a])~"},
    {R"~({{template "t" 1}}{{define "t"}}<{{.}}>{{end}})~", R"~(<1>)~"},
    {R"~({{block "b" .spec.l}}{{len .}}{{end}})~", R"~(3)~"},
    {R"~({{define "r"}}{{if .}}({{range .}}{{template "r" .}}{{end}}){{end}}{{end}}{{template "r" .spec.lm}})~",
     R"~((((run: template: output:1:31: executing "r" at <.>: range can't iterate over one)~"},
    {R"~({{template "x"}})~",
     R"~(run: template: output:1:11: executing "output" at <{{template "x"}}>: template "x" not defined)~"},
    {R"~({{template "x" .spec.l}})~",
     R"~(run: template: output:1:11: executing "output" at <{{template "x" .spec.l}}>: template "x" not defined)~"},
    {R"~({{define "a"}}1{{end}}{{define "a"}}2{{end}})~",
     R"~(parse: template: output:1: template: multiple definition of template "a")~"},
    {R"~({{define "output"}}hi{{end}})~", R"~(hi)~"},
    {R"~({{define "a"}}{{$x}}{{end}})~", R"~(parse: template: output:1: undefined variable "$x")~"},
    {R"~({{define `raw`}}r{{end}}{{template "raw"}})~", R"~(r)~"},
    {R"~({{1}} {{-2}} {{+3}} {{0x1F}} {{0b101}} {{0o17}} {{017}} {{1_000}} {{1.5}} {{.5}} {{1e3}} {{1E-7}} {{0x1p4}} {{1e20}} {{1e6}} {{100000.0}} {{'a'}} {{'\n'}} {{'\u00e9'}})~",
     R"~(1 -2 3 31 5 15 15 1000 1.5 0.5 1000 1e-07 16 1e+20 1e+06 100000 97 10 233)~"},
    {R"~({{"a\tb\"c\\"}} {{`raw\n`}} {{"\x41\101\u0042\U00000043"}})~", "a\tb\"c\\ raw\\n AABC"},
    {R"~({{true}} {{false}})~", R"~(true false)~"},
    {R"~({{nil}})~",
     R"~(run: template: output:1:2: executing "output" at <nil>: nil is not a command)~"},
    {R"~({{9999999999999999999}})~",
     R"~(run: template: output:1:2: executing "output" at <9999999999999999999>: 9999999999999999999 overflows int)~"},
    {R"~({{99999999999999999999}})~",
     R"~(parse: template: output:1: integer overflow: "99999999999999999999")~"},
    {R"~({{1a}})~", R"~(parse: template: output:1: bad number syntax: "1a")~"},
    {R"~({{08}})~", R"~(parse: template: output:1: integer overflow: "08")~"},
    {R"~({{0x}})~", R"~(parse: template: output:1: illegal number syntax: "0x")~"},
    {R"~({{"\q"}})~", R"~(parse: template: output:1: invalid syntax)~"},
    {R"~({{'ab'}})~", R"~(parse: template: output:1: malformed character constant: 'ab')~"},
    {R"~({{'a}})~", R"~(parse: template: output:1: unterminated character constant)~"},
    {R"~({{"a)~", R"~(parse: template: output:1: unterminated quoted string)~"},
    {R"~({{`a)~", R"~(parse: template: output:1: unterminated raw quoted string)~"},
    {R"~({{len .spec.l}} {{len .spec.m}} {{len .spec.s}} {{len ""}})~", R"~(3 3 6 0)~"},
    {R"~({{len .spec.i}})~",
     R"~(run: template: output:1:2: executing "output" at <len .spec.i>: error calling len: len of type int64)~"},
    {R"~({{len .nope}})~",
     R"~(run: template: output:1:2: executing "output" at <len .nope>: error calling len: reflect: call of reflect.Value.Type on zero Value)~"},
    {R"~({{len .spec.n}})~",
     R"~(run: template: output:1:2: executing "output" at <len .spec.n>: error calling len: len of nil pointer)~"},
    {R"~({{index .spec.l 1}} {{index .spec.m "z"}} {{index .spec.m "a" 1}} {{index .spec.m "q"}} {{index .spec.s 1}} {{index .spec.l}} {{index . "spec" "lm" 0 "name"}})~",
     R"~(b 1 x <no value> 195 [a b c] one)~"},
    {R"~({{index .spec.l 3}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.l 3>: error calling index: reflect: slice index out of range)~"},
    {R"~({{index .spec.l 4}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.l 4>: error calling index: index out of range: 4)~"},
    {R"~({{index .spec.l -1}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.l -1>: error calling index: index out of range: -1)~"},
    {R"~({{index .spec.s 6}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.s 6>: error calling index: reflect: string index out of range)~"},
    {R"~({{index .spec.l "a"}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.l "a">: error calling index: cannot index slice/array with type string)~"},
    {R"~({{index .spec.l nil}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.l nil>: error calling index: cannot index slice/array with nil)~"},
    {R"~({{index .spec.m 1}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.m 1>: error calling index: value has type int; should be string)~"},
    {R"~({{index .spec.m nil}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.m nil>: error calling index: value is nil; should be of type string)~"},
    {R"~({{index .spec.m "q" "r"}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.m "q" "r">: error calling index: index of nil pointer)~"},
    {R"~({{index .nope 1}})~",
     R"~(run: template: output:1:2: executing "output" at <index .nope 1>: error calling index: index of untyped nil)~"},
    {R"~({{index .spec.i 1}})~",
     R"~(run: template: output:1:2: executing "output" at <index .spec.i 1>: error calling index: can't index item of type int64)~"},
    {R"~({{slice .spec.l 1}} {{slice .spec.l 1 2}} {{slice .spec.l 0 1 2}} {{slice .spec.s 1 3}} {{slice .spec.l}} {{slice .spec.l 0 4}})~",
     R"~([b c] [b] [a] é [a b c] [a b c <nil>])~"},
    {R"~({{slice .spec.l 2 1}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .spec.l 2 1>: error calling slice: invalid slice index: 2 > 1)~"},
    {R"~({{slice .spec.l 0 5}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .spec.l 0 5>: error calling slice: index out of range: 5)~"},
    {R"~({{slice .spec.s 0 1 2}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .spec.s 0 1 2>: error calling slice: cannot 3-index slice a string)~"},
    {R"~({{slice .spec.l 1 2 3 4}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .spec.l 1 2 3 4>: error calling slice: too many slice indexes: 4)~"},
    {R"~({{slice .spec.i 1}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .spec.i 1>: error calling slice: can't slice item of type int64)~"},
    {R"~({{slice .nope 1}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .nope 1>: error calling slice: slice of untyped nil)~"},
    {R"~({{slice .spec.l 0 2 1}})~",
     R"~(run: template: output:1:2: executing "output" at <slice .spec.l 0 2 1>: error calling slice: invalid slice index: 2 > 1)~"},
    {R"~({{and 1 0 2}} {{and 1 2}} {{or 0 "" "x"}} {{or 0 ""}}| {{and .nope 1}} {{or .nope 1}} {{and 1}} {{1 | and 2}} {{0 | or 0}})~",
     R"~(0 2 x | <no value> 1 1 1 0)~"},
    {R"~({{not 1}} {{not ""}} {{not .nope}} {{not .spec.n}})~", R"~(false true true true)~"},
    {R"~({{and 0 (index .spec.l 9)}})~", R"~(0)~"},
    {R"~({{or 1 (index .spec.l 9)}})~", R"~(1)~"},
    {R"~({{eq 1 1}} {{eq 1 2 1}} {{eq "a" "a"}} {{eq .spec.i 3}} {{eq .spec.f 1.5}} {{eq true .spec.yes}} {{eq .spec.s "héllo"}} {{eq (index .spec.s 0) 104}})~",
     R"~(true true true true true true true true)~"},
    {R"~({{eq .spec.n .nope}} {{eq .spec.n nil}} {{eq .nope 1}} {{eq 1 .nope}} {{eq .spec.e .nope}} {{ne .spec.n 1}})~",
     R"~(true true false false false true)~"},
    {R"~({{eq .spec.i 3.0}})~",
     R"~(run: template: output:1:2: executing "output" at <eq .spec.i 3.0>: error calling eq: incompatible types for comparison: int64 and float64)~"},
    {R"~({{eq .spec.i "3"}})~",
     R"~(run: template: output:1:2: executing "output" at <eq .spec.i "3">: error calling eq: incompatible types for comparison: int64 and string)~"},
    {R"~({{eq .spec.m .spec.m}})~",
     R"~(run: template: output:1:2: executing "output" at <eq .spec.m .spec.m>: error calling eq: non-comparable type map[a:[%!s(int64=1) x <nil> map[]] k:<nil> z:%!s(int64=1)]: map[string]interface {})~"},
    {R"~({{eq .spec.m .spec.l}})~", R"~(run: template: output:1:2: executing "output" at <eq .spec.m .spec.l>: error calling eq: non-comparable types map[a:[%!s(int64=1) x <nil> map[]] k:<nil> z:%!s(int64=1)]: map[string]interface {}, []interface {}: [a b c])~"},
    {R"~({{eq .spec.l .spec.l}})~",
     R"~(run: template: output:1:2: executing "output" at <eq .spec.l .spec.l>: error calling eq: non-comparable type [a b c]: []interface {})~"},
    {R"~({{eq .spec.m 1}})~",
     R"~(run: template: output:1:2: executing "output" at <eq .spec.m 1>: error calling eq: incompatible types for comparison: map[string]interface {} and int)~"},
    {R"~({{eq 1}})~",
     R"~(run: template: output:1:2: executing "output" at <eq 1>: error calling eq: missing argument for comparison)~"},
    {R"~({{eq}})~",
     R"~(run: template: output:1:2: executing "output" at <eq>: wrong number of args for eq: want at least 1 got 0)~"},
    {R"~({{ne 1 2}} {{ne "a" "a"}} {{lt 1 2}} {{lt "b" "a"}} {{le 2 2}} {{le 1.5 1.0}} {{gt 3 2}} {{gt .spec.i 3}} {{ge .spec.i 3}} {{ge "a" "b"}} {{lt -1 (index .spec.s 0)}})~",
     R"~(true false true false true false true false true false true)~"},
    {R"~({{lt .spec.i "a"}})~",
     R"~(run: template: output:1:2: executing "output" at <lt .spec.i "a">: error calling lt: incompatible types for comparison: int64 and string)~"},
    {R"~({{lt "a" .spec.m}})~",
     R"~(run: template: output:1:2: executing "output" at <lt "a" .spec.m>: error calling lt: invalid type for comparison)~"},
    {R"~({{lt true false}})~",
     R"~(run: template: output:1:2: executing "output" at <lt true false>: error calling lt: invalid type for comparison)~"},
    {R"~({{le true true}})~",
     R"~(run: template: output:1:2: executing "output" at <le true true>: error calling le: invalid type for comparison)~"},
    {R"~({{lt .nope 1}})~",
     R"~(run: template: output:1:2: executing "output" at <lt .nope 1>: error calling lt: invalid type for comparison)~"},
    {R"~({{lt 1}})~",
     R"~(run: template: output:1:2: executing "output" at <lt>: wrong number of args for lt: want 2 got 1)~"},
    {R"~({{lt 1 2 3}})~",
     R"~(run: template: output:1:2: executing "output" at <lt>: wrong number of args for lt: want 2 got 3)~"},
    {R"~({{print "a" 1 2 "b" .spec.i}} {{print}}| {{print nil}} {{print .nope .spec.n}} {{println "a" 1 true}})~",
     "a1 2b3 | <nil> <nil> <nil> a 1 true\n"},
    {R"~({{print .spec.l .spec.m}} {{print 1.5 true}})~",
     R"~([a b c] map[a:[1 x <nil> map[]] k:<nil> z:1] 1.5 true)~"},
    {R"~({{html .spec.html}} {{html .nope}} {{html 1 2 "<"}} {{.spec.html | html}})~",
     R"~(&lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt; &lt;no value&gt; 1 2&lt; &lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt;)~"},
    {R"~({{js .spec.html}} {{js .spec.ctl}} {{js .spec.s 1}} {{js "a'b\\"}})~",
     R"~(\u003Ca href\u003D\'x\'\u003E\u0026\"\u003C/a\u003E a\u0009b\u000Ac\u0001 héllo1 a\'b\\)~"},
    {R"~({{urlquery .spec.html}} {{urlquery .spec.s "a b" 1 2}} {{urlquery "-_.~/*"}})~",
     R"~(%3Ca+href%3D%27x%27%3E%26%22%3C%2Fa%3E h%C3%A9lloa+b1+2 -_.~%2F%2A)~"},
    {R"~({{call .spec.i}})~",
     R"~(run: template: output:1:2: executing "output" at <call .spec.i>: error calling call: non-function .spec.i of type int64)~"},
    {R"~({{call .nope}})~",
     R"~(run: template: output:1:2: executing "output" at <call .nope>: error calling call: call of nil)~"},
    {R"~({{call 1}})~",
     R"~(run: template: output:1:2: executing "output" at <call 1>: error calling call: non-function 1 of type int)~"},
    {R"~({{"a" | call}})~",
     R"~(run: template: output:1:8: executing "output" at <call>: error calling call: non-function a of type string)~"},
    {R"~({{.spec.i | call}})~",
     R"~(run: template: output:1:12: executing "output" at <call>: error calling call: non-function <int64 Value> of type int64)~"},
    {R"~({{exists .spec "m" "a" 1}} {{exists .spec.l 5}} {{exists .nope}} {{exists .nope "a"}} {{exists .spec.m "k"}} {{exists .spec.s 1}} {{exists .spec.m 1}} {{exists .spec.l "a"}} {{exists .spec.l 0}})~",
     R"~(true false true false false true false false true)~"},
    {R"~({{base64decode .spec.b64}} {{.spec.b64 | base64decode | len}})~", R"~(hi 2)~"},
    {R"~({{base64decode .spec.s}})~",
     R"~(run: template: output:1:2: executing "output" at <base64decode .spec.s>: error calling base64decode: base64 decode failed: illegal base64 data at input byte 1)~"},
    {R"~({{base64decode "aGk"}})~",
     R"~(run: template: output:1:2: executing "output" at <base64decode "aGk">: error calling base64decode: base64 decode failed: illegal base64 data at input byte 0)~"},
    {R"~({{base64decode .spec.i}})~",
     R"~(run: template: output:1:20: executing "output" at <.spec.i>: wrong type for value; expected string; got int64)~"},
    {R"~({{base64decode 1}})~",
     R"~(run: template: output:1:15: executing "output" at <1>: expected string; found 1)~"},
    {R"~({{base64decode .nope}})~",
     R"~(run: template: output:1:15: executing "output" at <.nope>: invalid value; expected string)~"},
    {R"~({{base64decode}})~",
     R"~(run: template: output:1:2: executing "output" at <base64decode>: wrong number of args for base64decode: want 1 got 0)~"},
    {R"~({{"a" | printf "%s-%s" "b"}})~", R"~(b-a)~"},
    {R"~({{.spec.i | printf "%d" | len | printf "%03d"}})~", R"~(001)~"},
    {R"~({{(index .spec.lm 0).name}} {{(.spec).i}} {{(index .spec.m "q").x}})~",
     R"~(one 3 <no value>)~"},
    {R"~({{("a").b}})~",
     R"~(run: template: output:1:3: executing "output" at <"a">: can't evaluate field b in type string)~"},
    {R"~({{(nil).a}})~",
     R"~(run: template: output:1:3: executing "output" at <nil>: nil is not a command)~"},
    {R"~({{"a".b}})~", R"~(parse: template: output:1: unexpected . after term "\"a\"")~"},
    {R"~({{1 | 2}})~",
     R"~(parse: template: output:1: non executable command in pipeline stage 2)~"},
    {R"~({{1 2}})~",
     R"~(run: template: output:1:2: executing "output" at <1>: can't give argument to non-function 1)~"},
    {R"~({{(1) 2}})~",
     R"~(run: template: output:1:2: executing "output" at <(1) 2>: can't give argument to non-function 1)~"},
    {R"~({{.spec.m 1}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.m>: m is not a method but has arguments)~"},
    {R"~({{"x" | .spec.m}})~",
     R"~(run: template: output:1:13: executing "output" at <.spec.m>: m is not a method but has arguments)~"},
    {R"~({{$x := 1}}{{$x 2}})~",
     R"~(run: template: output:1:13: executing "output" at <$x>: can't give argument to non-function $x)~"},
    {R"~({{foo}})~", R"~(parse: template: output:1: function "foo" not defined)~"},
    {R"~({{foo .}})~", R"~(parse: template: output:1: function "foo" not defined)~"},
    {R"~({{.spec.l | foo}})~", R"~(parse: template: output:1: function "foo" not defined)~"},
    {R"~({{}})~", R"~(parse: template: output:1: missing value for command)~"},
    {R"~({{if}}x{{end}})~", R"~(parse: template: output:1: missing value for if)~"},
    {R"~({{range}}x{{end}})~", R"~(parse: template: output:1: missing value for range)~"},
    {R"~({{if .a}}x)~", R"~(parse: template: output:1: unexpected EOF)~"},
    {R"~({{end}})~", R"~(parse: template: output:1: unexpected {{end}})~"},
    {R"~({{else}})~", R"~(parse: template: output:1: unexpected {{else}})~"},
    {R"~({{if 1}}{{else}}{{else}}{{end}})~",
     R"~(parse: template: output:1: expected end; found {{else}})~"},
    {R"~({{range .spec.l}}{{else}}{{else if}}{{end}})~",
     R"~(parse: template: output:1: expected end; found {{else}})~"},
    {R"~({{break}})~", R"~(parse: template: output:1: {{break}} outside {{range}})~"},
    {R"~({{continue}})~", R"~(parse: template: output:1: {{continue}} outside {{range}})~"},
    {R"~({{break 1}})~", R"~(parse: template: output:1: unexpected "1" in {{break}})~"},
    {R"~({{define "a"}}x)~", R"~(parse: template: output:1: unexpected EOF)~"},
    {R"~({{define a}}x{{end}})~",
     R"~(parse: template: output:1: unexpected "a" in define clause)~"},
    {R"~({{template a}})~", R"~(parse: template: output:1: unexpected "a" in template clause)~"},
    {R"~({{template}})~", R"~(parse: template: output:1: unexpected "}}" in template clause)~"},
    {R"~({{template "a" 1 | 2}})~",
     R"~(parse: template: output:1: non executable command in pipeline stage 2)~"},
    {R"~({{.a)~", R"~(parse: template: output:1: unclosed action)~"},
    {R"~({{.a})~", R"~(parse: template: output:1: bad character U+007D '}')~"},
    {R"~({{(1}})~", R"~(parse: template: output:1: unclosed left paren)~"},
    {R"~({{1)}})~", R"~(parse: template: output:1: unexpected right paren)~"},
    {R"~({{a:b}})~", R"~(parse: template: output:1: function "a" not defined)~"},
    {R"~({{#}})~", R"~(parse: template: output:1: unexpected "#" in command)~"},
    {R"~({{.a!}})~", R"~(parse: template: output:1: bad character U+0021 '!')~"},
    {R"~({{.a b!}})~", R"~(parse: template: output:1: bad character U+0021 '!')~"},
    {R"~({{é}})~", R"~(parse: template: output:1: function "é" not defined)~"},
    {R"~({{/* a)~", R"~(parse: template: output:1: unclosed comment)~"},
    {R"~({{/* a */ b}})~", R"~(parse: template: output:1: comment ends before closing delimiter)~"},
    {R"~({{$x, $y := 1}})~", R"~(parse: template: output:1: too many declarations in command)~"},
    {R"~({{range $x, $y, $z := .spec.l}}{{end}})~",
     R"~(parse: template: output:1: too many declarations in range)~"},
    {R"~({{range $x, 1 := .spec.l}}{{end}})~",
     R"~(parse: template: output:1: range can only initialize variables)~"},
    {R"~({{, 1}})~", R"~(parse: template: output:1: unexpected "," in command)~"},
    {R"~({{1, 2}})~", R"~(parse: template: output:1: unexpected "," in operand)~"},
    {R"~({{| 1}})~", R"~(parse: template: output:1: unexpected "|" in command)~"},
    {R"~({{1 |}})~", R"~(1)~"},
    {R"~({{.a..b}})~", R"~(parse: template: output:1: unexpected <.> in operand)~"},
    {R"~({{ . a}})~", R"~(parse: template: output:1: function "a" not defined)~"},
    {R"~({{.spec . }})~",
     R"~(run: template: output:1:2: executing "output" at <.spec>: spec is not a method but has arguments)~"},
    {R"~({{printf .spec.i}})~",
     R"~(run: template: output:1:14: executing "output" at <.spec.i>: wrong type for value; expected string; got int64)~"},
    {R"~({{printf .nope}})~",
     R"~(run: template: output:1:9: executing "output" at <.nope>: invalid value; expected string)~"},
    {R"~({{printf .spec.n}})~",
     R"~(run: template: output:1:14: executing "output" at <.spec.n>: wrong type for value; expected string; got interface {})~"},
    {R"~({{printf nil}})~",
     R"~(run: template: output:1:9: executing "output" at <nil>: cannot assign nil to string)~"},
    {R"~({{printf 1}})~",
     R"~(run: template: output:1:9: executing "output" at <1>: expected string; found 1)~"},
    {R"~({{printf}})~",
     R"~(run: template: output:1:2: executing "output" at <printf>: wrong number of args for printf: want at least 1 got 0)~"},
    {R"~({{printf "%v %v %v %v %v" 1 "a" 1.5 true .spec.l}})~", R"~(1 a 1.5 true [a b c])~"},
    {R"~({{printf "%T %T %T %T %T %T %T" 1 .spec.i .spec.l .spec.m (index .spec.s 1) 1.5 nil}})~",
     R"~(int int64 []interface {} map[string]interface {} uint8 float64 <nil>)~"},
    {R"~({{printf "%d|%5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%#o|%O|%b|%#b|%c|%q|%U|%#U" 42 42 42 42 42 42 42 42 42 42 42 42 42 42 65 65 9731 9731}})~",
     R"~(42|   42|42   |00042|+42| 42|2a|2A|0x2a|52|052|0o52|101010|0b101010|A|'A'|U+2603|U+2603 '☃')~"},
    {R"~({{printf "%.3d|%6.3d|%-6.3d|%06.3d|%.0d|%d" 5 5 5 5 0 -5}})~",
     R"~(005|   005|005   |   005||-5)~"},
    {R"~({{printf "%f|%.2f|%8.2f|%-8.2f|%08.2f|%+.1f|%e|%E|%g|%G|%.3g|%F" 3.14159 3.14159 3.14159 3.14159 -3.14159 3.14159 12345.678 12345.678 1e21 1e-7 1234.5 2.5}})~",
     R"~(3.141590|3.14|    3.14|3.14    |-0003.14|+3.1|1.234568e+04|1.234568E+04|1e+21|1E-07|1.23e+03|2.500000)~"},
    {R"~({{printf "%v %v %v %v %v" 1e5 1e6 123456789.5 1e-5 1e20}} {{printf "%6v|%-6v|%06v|% v" 1.5 1.5 1.5 1.5}})~",
     R"~(100000 1e+06 1.234567895e+08 1e-05 1e+20    1.5|1.5   |0001.5| 1.5)~"},
    {R"~({{printf "%#g %#.3g %#f %#e %x %b" 1.0 1.0 1.0 1.0 1.5 1.5}})~",
     R"~(1.00000 1.00 1.000000 1.000000e+00 0x1.8p+00 6755399441055744p-52)~"},
    {R"~({{printf "%s|%10s|%-10s|%.2s|%q|%#q|%+q|%x|%X|% x|%#x|%# x" "héllo" "héllo" "héllo" "héllo" "a\n\"é" "abc" "é" "hi" "hi" "hi" "hi" "hi"}})~",
     R"~(héllo|     héllo|héllo     |hé|"a\n\"é"|`abc`|"\u00e9"|6869|6869|68 69|0x6869|0x68 0x69)~"},
    {R"~({{printf "%05s|%5t|%-7t|%t" "ab" true false true}})~", R"~(000ab| true|false  |true)~"},
    {R"~({{printf "%#v %#v %#v %#v %#v" "a" .spec.m 1 1.5 nil}})~",
     R"~("a" map[string]interface {}{"a":[]interface {}{1, "x", interface {}(nil), map[string]interface {}{}}, "k":interface {}(nil), "z":1} 1 1.5 <nil>)~"},
    {R"~({{printf "%+v %v %5v" .spec.m .spec.lm .spec.ports}})~",
     R"~(map[a:[1 x <nil> map[]] k:<nil> z:1] [map[name:one v:1] map[name:two]] [   80   443])~"},
    {R"~({{printf "%d %s %q %x" .spec.ports .spec.l .spec.l .spec.l}})~",
     R"~([80 443] [a b c] ["a" "b" "c"] [61 62 63])~"},
    {R"~({{printf "%d" .spec.l}} {{printf "%s" .spec.m}})~",
     R"~([%!d(string=a) %!d(string=b) %!d(string=c)] map[a:[%!s(int64=1) x <nil> map[]] k:<nil> z:%!s(int64=1)])~"},
    {R"~({{printf "%d %s %t %z %f" "a" 1 1 2 "x"}})~",
     R"~(%!d(string=a) %!s(int=1) %!t(int=1) %!z(int=2) %!f(string=x))~"},
    {R"~({{printf "%d %d" 1}} {{printf "%d" 1 2 "x"}} {{printf "%"}} {{printf "%!"}} {{printf "100%%"}} {{printf "%z" 1}} {{printf "%s" nil}} {{printf "%d" nil nil}})~",
     R"~(1 %!d(MISSING) 1%!(EXTRA int=2, string=x) %!(NOVERB) %!!(MISSING) 100% %!z(int=1) %!s(<nil>) %!d(<nil>)%!(EXTRA <nil>))~"},
    {R"~({{printf "%[2]d %[1]d" 1 2}} {{printf "%[3]d" 1}} {{printf "%[x]d" 1}} {{printf "%[1]d %d" 1 2}} {{printf "%[2]*[1]d" 1 5}})~",
     R"~(2 1 %!d(BADINDEX) %!d(BADINDEX) 1 2     1)~"},
    {R"~({{printf "%*d|%-*d|%.*f|%*d" 5 1 5 1 2 3.14159 -5 1}} {{printf "%*d" "a" 1}} {{printf "%.*d" -1 5}})~",
     R"~(    1|1    |3.14|1     %!(BADWIDTH)1 %!(BADPREC)5)~"},
    {R"~({{printf "%v" .spec.html}} {{printf "%v"}} {{printf "x"}} {{printf "%c%c" 0x4E16 1114112}})~",
     R"~(<a href='x'>&"</a> %!v(MISSING) x 世�)~"},
    {R"~({{printf "%t" .spec.yes}} {{printf "%v" .spec.nope}} {{printf "%p" 1}} {{printf "%U" -1}})~",
     R"~(true <nil> %!p(int=1) U+FFFFFFFFFFFFFFFF)~"},
    {R"~({{range $i, $p := .spec.ports}}{{if $i}},{{end}}{{$p}}{{end}}{{"\n"}})~", "80,443\n"},
    {R"~({{range $k, $v := .metadata.labels}}{{printf "%s=%s " $k $v}}{{end}})~",
     R"~(b=two x=1 )~"},
    {R"~({{with .metadata}}{{.name}}{{with .labels}}{{.b}}{{$.kind}}{{end}}{{end}})~",
     R"~(atwoFoo)~"},
    {R"~(before{{.spec.i.y}}after)~",
     R"~(beforerun: template: output:1:13: executing "output" at <.spec.i.y>: can't evaluate field y in type interface {})~"},
    {R"~(line{{"\n"}}two {{.spec.l.x}})~",
     "line\ntwo run: template: output:1:23: executing \"output\" at <.spec.l.x>: can't evaluate "
     "field x in type interface {}"},
    {R"~({{if and (eq .spec.i 3) (or .spec.no (gt (len .spec.l) 2))}}deep{{end}})~", R"~(deep)~"},
    {R"~({{- range .spec.l -}} {{.}} {{- end -}})~", R"~(abc)~"},
    {R"~({{"}}"}} {{`{{`}})~", R"~(}} {{)~"},
    {R"~(}} {)~", R"~(}} {)~"},
    {R"~({{range .spec.l}}{{range $.spec.ports}}{{.}}{{end}}{{end}})~", R"~(804438044380443)~"},
    {R"~({{range .spec.l}}{{with 1}}{{break}}{{end}}{{end}}ok)~", R"~(ok)~"},
    {R"~({{define "x"}}{{range .}}{{template "y" .}}{{end}}{{end}}{{define "y"}}{{.name}}!{{end}}{{template "x" .spec.lm}})~",
     R"~(one!two!)~"},
    {R"~({{$a := "x"}}{{$b := $a}}{{$a = "y"}}{{$a}}{{$b}})~", R"~(yx)~"},
    {R"~({{$}}{{$.nope}})~",
     "map[apiVersion:example.com/v1 kind:Foo metadata:map[labels:map[b:two x:1] name:a] "
     "spec:map[b64:aGk= big:9007199254740993 ctl:a\tb\nc\001 e:map[] el:[] empty: f:1.5 "
     "f2:1.0000005e+06 f3:1e+21 html:<a href='x'>&\"</a> i:3 l:[a b c] lm:[map[name:one v:1] "
     "map[name:two]] m:map[a:[1 x <nil> map[]] k:<nil> z:1] n:<nil> neg:-4 no:false ports:[80 443] "
     "s:héllo yes:true zero:0]]<no value>"},
    {R"~({{print (print 1) (print 2)}} {{(1 | printf "%d")}})~", R"~(12 1)~"},
    {"a\n{{.spec.i.y}}",
     "a\nrun: template: output:2:7: executing \"output\" at <.spec.i.y>: can't evaluate field y in "
     "type interface {}"},
    {"{{if true}}\n x\n{{- end}}\n", "\n x\n"},
    {"{{range .spec.l}}\n{{- .}}\n{{- end}}", R"~(abc)~"},
    {"{{.a\n}}b {{foo}}", R"~(parse: template: output:2: function "foo" not defined)~"},
    {"{{define \"a\"}}\n\n{{end}}{{$q}}",
     R"~(parse: template: output:3: undefined variable "$q")~"},
    {"{{\n1\n}}", R"~(1)~"},
    {"{{.a\n\n", R"~(parse: template: output:3: unclosed action started at output:1)~"},
    {"{{if .a}}\n\n{{foo", R"~(parse: template: output:3: function "foo" not defined)~"},
    {"{{\"a\n\"}}", R"~(parse: template: output:1: unterminated quoted string)~"},
    {"  {{- 1}}\t\n{{- 2 -}}\n\n  {{3}}", R"~(123)~"},
};

const Case kStrict[] = {
    {R"~({{.spec.nope}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.nope>: map has no entry for key "nope")~"},
    {R"~({{.spec.nope.x}})~",
     R"~(run: template: output:1:7: executing "output" at <.spec.nope.x>: map has no entry for key "nope")~"},
    {R"~({{if .nope}}a{{end}})~",
     R"~(run: template: output:1:5: executing "output" at <.nope>: map has no entry for key "nope")~"},
    {R"~({{index .spec "nope"}})~", R"~(<no value>)~"},
    {R"~({{.spec.i}})~", R"~(3)~"},
    {R"~({{$x := .nope}})~",
     R"~(run: template: output:1:8: executing "output" at <.nope>: map has no entry for key "nope")~"},
    {R"~({{(index .spec "nope").x}})~",
     R"~(run: template: output:1:15: executing "output" at <"nope">: nil data; no entry for key "x")~"},
    {R"~({{.spec.m.k}})~", R"~(<no value>)~"},
};

TEST(GoTemplateTest, PrintsAsKubectl) {
  Document d = json(kObject);
  for (const Case& c : kCases) EXPECT_EQ(fill(c.text, d.root), c.want) << c.text;
}

TEST(GoTemplateTest, MissingKeysAreErrorsWhenTheyMayNotBe) {
  Document d = json(kObject);
  for (const Case& c : kStrict) EXPECT_EQ(fill(c.text, d.root, false), c.want) << c.text;
}

TEST(GoTemplateTest, HasBounds) {
  Document d = json(kObject);
  auto has = [&](const std::string& text, std::string_view words) {
    std::string got = fill(text, d.root);
    EXPECT_NE(got.find(words), got.npos) << got.substr(0, 300);
  };
  has("{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}",
      "exceeded maximum template depth (200)");
  has("{{range 1000000000}}{{end}}", "more than 10000000 steps");
  has("{{$x := \"0123456789\"}}{{range 100}}{{$x = print $x $x}}{{end}}", "64 MiB");
  has("{{range 100}}{{printf \"%1000000d\" 1}}{{end}}", "64 MiB");
  std::string deep, parens;
  for (int i = 0; i < 5000; ++i) deep += "{{if 1}}", parens += "(";
  has(deep, "nested too deeply");
  has("{{" + parens, "max expression depth exceeded");
  has(std::string(70'000, 'x'), "64 KiB");
}

TEST(GoFormatTest, QuotesAsGo) {
  EXPECT_EQ(go_quote("a\"\\\n\x01\x7f\xff é"), R"("a\"\\\n\x01\x7f\xff é")");
  EXPECT_EQ(go_quote("é\u2028", true), R"("\u00e9\u2028")");
}

TEST(KyamlTest, WritesAsKubectl) {
  Document d = json(
      R"({"s":"a\"b\\","lines":"one\n  two\ttab\nthree","end":"x\n","n":null,"i":1,"f":1.5,
      "list":["a",[1]],"maps":[{"a":1},{}],"none":[],"map":{},"ctl":"\u0001\u001b\u00a0\u2028"})");
  EXPECT_EQ(write_kyaml(d.root), R"({
  ctl: "\x01\e\_\L",
  end: "\
     x\n\
    ",
  "f": 1.5,
  i: 1,
  lines: "\
     one\n\
    \  two	tab\n\
     three\
    ",
  list: [
    "a",
    [
      1,
    ],
  ],
  map: {},
  maps: [{
    a: 1,
  }, {}],
  "n": null,
  none: [],
  s: "a\"b\\",
}
)");
}

TEST(KyamlTest, QuotesWhatYamlWouldTakeForSomethingElse) {
  for (const char* s :
       {"",    "~",    "null",  "Yes",        "n",        "T",    "off", "12", "0x1f", "1_0", "1e3",
        "1.5", "+inf", "11:30", "2026-11-27", "2026-1-2", ".inf", "a b", "-a", "a-",   "a:b"}) {
    EXPECT_TRUE(kyaml_needs_quotes(s)) << s;
  }
  for (const char* s : {"a", "a-b", "a.b/c", "_x", "1a", "kind", "2026-13-01", "nope", "x_1"}) {
    EXPECT_FALSE(kyaml_needs_quotes(s)) << s;
  }
}

}  // namespace
}  // namespace keles::kubectl
