// What an expression costs: compiled, and evaluated over an object in CPU time, beside parsing that
// object's JSON. Target: 1 us for the comparison of two fields.
#include <cstdio>
#include <ctime>
#include <string>

#include "cel/rules.h"
#include "machinery/codec_json.h"

using namespace keles;

namespace {

constexpr std::string_view kObject =
    R"({"apiVersion":"e.com/v1","kind":"T","metadata":{"name":"a","uid":"u"},"spec":{)"
    R"("minReplicas":1,"replicas":2,"names":["a","bb","ccc","dddd"],"size":"2Gi"}})";

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

template <class F>
double nanoseconds(int rounds, F f) {
  const double start = cpu_seconds();
  for (int i = 0; i < rounds; ++i) f();
  return (cpu_seconds() - start) / rounds * 1e9;
}

std::string schema_with(std::string_view rule) {
  return R"({"type":"object","properties":{"spec":{"type":"object","properties":{)"
         R"("minReplicas":{"type":"integer"},"replicas":{"type":"integer"},)"
         R"("names":{"type":"array","items":{"type":"string"}},"size":{"type":"string"}},)"
         R"("x-kubernetes-validations":[{"rule":")" +
         std::string(rule) + R"("}]}}})";
}

}  // namespace

int main() {
  const Document object = *parse_json(kObject);
  std::printf("parsing the object: %.0f ns\n",
              nanoseconds(100'000, [] { (void)parse_json(kObject).ok(); }));
  for (const char* rule : {"self.minReplicas <= self.replicas", "self.names.all(n, n.size() < 5)",
                           "self.names.exists(n, n.matches('^d+$'))", "isQuantity(self.size)",
                           "self.names.map(n, n + '!').join(',') == 'a!,bb!,ccc!,dddd!'"}) {
    const Document schema = *parse_json(schema_with(rule));
    const auto tree = cel::RuleTree::compile(schema.root, true);
    const double compile =
        nanoseconds(200, [&] { (void)cel::RuleTree::compile(schema.root, true); });
    bool held = true;
    const double run = nanoseconds(200'000, [&] {
      FieldErrors errors;
      cel::RuleTree::Check check{errors};
      tree->check(check, object.root, nullptr);
      held &= errors.empty();
    });
    std::printf("%-60s %8.0f ns, compiled with its schema in %.0f us%s\n", rule, run,
                compile / 1000, held ? "" : " (does not hold)");
  }
  return 0;
}
