// CEL: the parser, the checker and the evaluator take anything, and agree with each other.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "cel/decl_type.h"
#include "cel/node.h"
#include "cel/program.h"
#include "machinery/codec_json.h"
#include "seeds.h"

namespace {

using keles::cel::Env;
using keles::cel::Expression;
using keles::cel::Run;
using keles::cel::Val;

constexpr std::string_view kSchema = R"({"type":"object","properties":{
  "n":{"type":"integer"},"s":{"type":"string"},"f":{"type":"number"},"p":{"x-kubernetes-int-or-string":true},
  "t":{"type":"string","format":"date-time"},"d":{"type":"string","format":"duration"},
  "l":{"type":"array","maxItems":9,"items":{"type":"string"}},
  "m":{"type":"object","additionalProperties":{"type":"integer"}}}})";
constexpr std::string_view kObject =
    R"({"n":3,"s":"ab","f":0.5,"p":"x","t":"2020-01-02T03:04:05Z","d":"1h",
  "l":["a","b"],"m":{"k":1}})";

struct World {
  keles::Document schema = *keles::parse_json(kSchema);
  keles::Document object = *keles::parse_json(kObject);
  keles::cel::DeclPtr decl = keles::cel::decl_type(schema.root, true);
  Env env;
  World() {
    env.add_object("self", decl, "selfType");
    env.add("x", keles::cel::dyn_type());
    env.allow_objects();
    env.allow_bindings();
  }
};

void evaluate(const World& w, const Expression& e) {
  const auto program = e.plan();
  if (!program.ok()) return;
  Run run(keles::cel::Limits{.cost = 20000});
  run.bind(0, keles::cel::wrap(run, w.object.root, w.decl.get()));
  run.bind(1, keles::cel::wrap(run, w.object.root, nullptr));
  const Val v = (*program)->evaluate(run);
  if (v.is_error()) {
    if (v.text().empty()) std::abort();
    return;
  }
  // A value is of the type that was promised.
  if (!keles::cel::is_of_type(run, *e.type(), v)) std::abort();
  keles::cel::to_display(run, v);
  // The same again gives the same.
  const uint64_t cost = run.cost();
  const Val again = (*program)->evaluate(run);
  if (again.tag() != v.tag() || run.cost() != cost) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const World kWorld;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto checked = Expression::compile(text, kWorld.env);
  if (checked.ok()) {
    const keles::cel::CostRange cost = checked->estimate();
    if (cost.min > cost.max) std::abort();
    evaluate(kWorld, *checked);
  } else if (checked.status().message().find("ERROR: <input>:") != 0) {
    std::abort();
  }
  const auto parsed = Expression::parse_only(text, kWorld.env);
  if (checked.ok() && !parsed.ok()) std::abort();
  if (parsed.ok()) evaluate(kWorld, *parsed);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"Object{a: x, ?b: optional.of(1), c: Object.c{d: [Object.c.d{}]}}.c.d == [x]",
          "cel.bind(y, x.n, [JSONPatch{op: 'add', path: self.s, value: y}])",
          "self.l.all(i, i.size() < self.n) ? [1, 2.5][0] : {'a': b'\\x00'}.?a.orValue(b'')",
          "x.m.exists(k, v, k == \"k\" && v == 1u)",
          "self.l.map(i, i + 'z').sort().join(',').split(',', 2).indexOf('az')",
          "'%s %d %.3f'.format([self.s, self.n, self.f])",
          "duration('1h') + duration(\"3s\") < self.d || timestamp(0).getHours('-08:00') == 16",
          "quantity('1.5Gi').isLessThan(quantity('2Gi')) && url('https://a/b?c=d').getQuery().c[0]"
          " == 'd' && ip('::1').isLoopback() && cidr('10.0.0.0/8').containsIP('10.0.0.1')",
          "semver('1.2.3').major() == 1 && format.dns1123Label().validate('A').hasValue()",
          "[3, 1].sortBy(e, -e).transformMap(i, v, v)[0] in lists.range(9).slice(1, 4).distinct()",
          "'aab'.findAll('a+', 1) == ['aa'] && r'\\d' != '''x\ny'''",
          "x.l[?0].optMap(y, y + '!').value() // c\n",
          "type(x.p) == string && -x.n % 2 == -1"};
}
