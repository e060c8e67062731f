// What a schema costs: compiled, in bytes, and held against an object, beside parsing that object's
// JSON. Ratios of one run.
#include <chrono>
#include <cstdio>
#include <string>

#include "machinery/codec_json.h"
#include "machinery/custom_object.h"
#include "machinery/rule_check.h"
#include "machinery/schema_check.h"
#include "machinery/structural_schema.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 300;

// Properties of all sorts, described at the length that is usual: some 20 kB.
std::string schema_text() {
  const std::string about(120, 'x');
  std::string properties;
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    properties += (i == 0 ? "" : ",") + std::string("\"list") + n +
                  R"(":{"type":"array","maxItems":64,"description":")" + about +
                  R"(","items":{"type":"object","required":["name"],"properties":{"name":{"type":)"
                  R"("string","maxLength":63,"pattern":"^[a-z]+$","description":")" +
                  about +
                  R"("},"port":{"type":"integer","format":"int32","minimum":1,"maximum":65535,)"
                  R"("description":")" +
                  about +
                  R"("},"mode":{"type":"string","enum":["a","b"],"default":"a","description":")" +
                  about +
                  R"("},"labels":{"type":"object","additionalProperties":{"type":"string"},)"
                  R"("description":")" +
                  about +
                  R"("},"deep":{"type":"object","properties":{"x":{"type":"string"},"y":)"
                  R"({"x-kubernetes-int-or-string":true}},"description":")" +
                  about + about + R"("}}}})";
  }
  return R"({"type":"object","properties":{"spec":{"type":"object","properties":{)" + properties +
         "}}}}";
}

std::string object_text() {
  std::string lists;
  for (int i = 0; i < 12; ++i) {
    lists += (i == 0 ? "" : ",") + std::string("\"list") + std::to_string(i) + "\":[";
    for (int j = 0; j < 16; ++j) {
      lists +=
          (j == 0 ? "" : ",") +
          std::string(R"({"name":"abc","port":80,"labels":{"a":"b"},"deep":{"x":"z","y":"50%"}})");
    }
    lists += "]";
  }
  return R"({"apiVersion":"e.com/v1","kind":"T","metadata":{"name":"a"},"spec":{)" + lists + "}}";
}

template <class F>
double microseconds(F f) {
  const auto start = Clock::now();
  for (int i = 0; i < kRounds; ++i) f();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / kRounds;
}

}  // namespace

int main() {
  using namespace keles;
  const std::string text = schema_text(), object = object_text();
  auto schema = parse_json(text);
  auto value = parse_json(object);
  if (!schema.ok() || !value.ok()) return 1;
  auto compiled = StructuralSchema::compile(schema->root, "T");
  if (!compiled.ok()) return 1;
  const TypeDesc& type = (*compiled)->type();
  const double check = microseconds([&] {
    FieldErrors errors;
    check_custom_schema(errors, schema->root, "spec.validation", {});
    if (!errors.empty()) std::printf("%s\n", errors[0].message.c_str());
  });
  const double compile = microseconds([&] { (void)StructuralSchema::compile(schema->root, "T"); });
  const double parse = microseconds([&] { (void)parse_json(object); });
  const double judge = microseconds([&] {
    FieldErrors errors;
    check_schema(errors, type, value->root);
    if (!errors.empty()) std::printf("%s\n", errors[0].message.c_str());
  });
  const double shape = microseconds([&] {
    Document d = value->clone();
    (void)shape_custom(type, d.arena, d.root);
    fill_defaults(type, d.arena, d.root);
  });
  std::printf("schema of %zu bytes: compiled %zu bytes, checked in %.0f us, compiled in %.0f us\n",
              text.size(), (*compiled)->bytes(), check, compile);
  std::printf("object of %zu bytes: parsed 1, judged %.2f, copied, shaped and defaulted %.2f\n",
              object.size(), judge / parse, shape / parse);
  return 0;
}
