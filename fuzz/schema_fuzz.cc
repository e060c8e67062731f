// Two YAML documents: a schema, an object. No schema is too strange to be checked and compiled, and
// no object to be shaped and judged by it; under a schema that is valid, an object that was shaped
// and defaulted stays as it is.
#include <cstdint>
#include <cstdlib>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/custom_object.h"
#include "machinery/decode.h"
#include "machinery/rule_check.h"
#include "machinery/schema_check.h"
#include "machinery/structural_schema.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  auto all = parse_yaml_all({reinterpret_cast<const char*>(data), size});
  if (!all.ok() || all->empty() || !all->front().root.is_map()) return 0;
  static const TypeDesc* const props =
      find_type("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
  Document& schema = all->front();
  if (!normalize(*props, schema).ok()) return 0;
  FieldErrors faults;
  check_custom_schema(faults, schema.root, "spec.validation", {});
  (void)unknown_formats(schema.root);
  auto compiled = StructuralSchema::compile(schema.root, "Thing");
  if (!compiled.ok()) return 0;
  const TypeDesc& type = (*compiled)->type();
  Document& object = all->back();
  if (all->size() < 2 || !object.root.is_map()) return 0;
  Document before = object.clone();
  std::vector<std::string> unknown;
  if (!shape_custom(type, object.arena, object.root, &unknown).ok()) return 0;
  fill_defaults(type, object.arena, object.root);
  FieldErrors errors;
  check_schema(errors, type, object.root);
  check_schema_update(errors, type, object.root, before.root);
  check_list_types(errors, type, object.root);
  check_embedded_resources(errors, type, object.root);
  std::string once, twice;
  write_json(once, type, object.root);
  unknown.clear();
  if (!shape_custom(type, object.arena, object.root, &unknown).ok()) std::abort();
  if (!unknown.empty()) std::abort();
  fill_defaults(type, object.arena, object.root);
  write_json(twice, type, object.root);
  if (faults.empty() && once != twice) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "{type: object, properties: {spec: {type: object, required: [a], properties: {a: {type: "
      "string, maxLength: 3, default: x}, b: {type: array, x-kubernetes-list-type: set, items: "
      "{type: integer, minimum: 2}}}}}}\n---\n{spec: {a: long, b: [1, 1], c: {d: e}}}\n",
      "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {e: {type: object, "
      "x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}, n: "
      "{type: array, items: {type: array, items: {type: object, additionalProperties: {type: "
      "string, nullable: true}}}}}}\n---\n{e: {apiVersion: v1, kind: Pod, metadata: {name: a}}, "
      "n: [[{a: null}]], x: 1}\n",
      "{type: object, properties: {p: {x-kubernetes-int-or-string: true, anyOf: [{type: "
      "integer}, {type: string}], pattern: '^[0-9]+%?$'}, q: {type: object, properties: {r: "
      "{type: string, format: date-time, enum: [a, 1]}}, oneOf: [{required: [r]}, {not: "
      "{required: [r]}}]}}}\n---\n{p: 50%, q: {r: a}}\n",
      "{type: object, properties: {m: {type: array, x-kubernetes-list-type: map, "
      "x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: "
      "{type: string}, v: {type: number, multipleOf: 0.1}}}}}}\n---\n{m: [{k: a, v: 0.3}, {k: a}]"
      "}\n"};
}
