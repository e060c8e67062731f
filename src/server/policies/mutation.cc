#include "server/policies/mutation.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "cel/to_value.h"
#include "machinery/apply/place.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "machinery/equality.h"
#include "machinery/kind_facts.h"
#include "machinery/patch.h"
#include "server/matching/decoding_error.h"
#include "server/registry/machine.h"

namespace keles::policies {
namespace {

Mutated failed(std::string why) {
  Mutated out;
  out.error = std::move(why);
  return out;
}

// The form in which the registry holds what was patched.
Mutated finished(const KindDesc& kind, Document made, Loop& loop) {
  if (!kind.facts->keeps_empty) drop_empty(*kind.type, made.root);
  registry::set_defaults(kind, made, loop);
  Mutated out;
  out.applied = true;
  out.object = std::move(made);
  return out;
}

std::string misplaced(cel::Run& run, const cel::Val& v) {
  std::string out;
  for (const std::string& fault : cel::misplaced_objects(run, v)) {
    out += (out.empty() ? "" : "\n") + fault;
  }
  return out;
}

// --- JSON patches --------------------------------------------------------------------------------

// One JSONPatch{...} as an operation. "" or what is wrong.
std::string read_operation(cel::Run& run, Arena& arena, const cel::Val& v, Value& out) {
  const auto& patch = v.opaque_as<cel::ObjectValue>();
  out = Value::map();
  for (std::string_view name : {"op", "path", "from"}) {
    const cel::Val* field = patch.find(name);
    const std::string_view text =
        field && field->is(cel::Val::Tag::kString) ? field->text() : std::string_view();
    if (field && !field->is(cel::Val::Tag::kString)) {
      return "unexpected type " + std::string(cel::type_name(*field)) + " for JSONPatchType '" +
             std::string(name) + "' field";
    }
    if (name != "from" || !text.empty()) {
      out.set(arena, name, Value::string(arena.copy(text)));
    }
  }
  const cel::Val* value = patch.find("value");
  if (!value) return {};
  if (const std::string wrong = misplaced(run, *value); !wrong.empty()) {
    return "type mismatch: " + wrong;
  }
  Result<Value> json = cel::to_value(run, arena, *value);
  if (!json.ok()) {
    return "JSONPath valueExpression evaluated to a type that could not marshal to JSON: " +
           json.status().message();
  }
  out.set(arena, "value", *json);
  return {};
}

Mutated apply_operations(cel::Run& run, const cel::Val& v, const Value& shown, const KindDesc& kind,
                         Loop& loop) {
  Document patch;
  patch.root = Value::list();
  for (size_t i = 0; i < v.size(); ++i) {
    const cel::Val item = cel::list_at(run, v, i);
    if (!item.is_opaque(cel::Opaque::Kind::kObject)) {
      return failed(
          "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got "
          "element of " +
          std::string(cel::type_name(item)));
    }
    Value operation;
    std::string wrong = read_operation(run, patch.arena, item, operation);
    if (!wrong.empty()) return failed(std::move(wrong));
    patch.root.append(patch.arena, operation);
  }
  // As a client would be shown it: `status: {}` is there to be added to.
  std::string text;
  write_json(text, kind, shown);
  auto read = parse_json(text);
  if (!read.ok()) return failed("JSON Patch: " + read.status().message());
  auto held = std::make_shared<Document>(std::move(*read));
  auto patched = apply_json_patch(held->root, patch.root);
  if (!patched.ok()) {
    const std::string why = patched.status().message();
    if (why.ends_with("test failed")) return {};  // as it says itself: nothing is to be done
    return failed("JSON Patch: " + why);
  }
  patched->arena.adopt(held);
  hold_kind(patched->arena, kind);
  Status s = check_body_kind(kind, "", *patched);
  if (s.ok()) s = decode_object(kind, *patched, FieldValidation::kStrict);
  if (!s.ok()) {
    Mutated out;
    out.fatal = Status::internal(matching::decoding_error(s));
    return out;
  }
  return finished(kind, std::move(*patched), loop);
}

// --- apply configurations ------------------------------------------------------------------------

std::string path_text(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& p : path) out += p;
  return out;
}

// Lists, maps and structs that are replaced as a whole: who names some of it would lose the rest.
void find_atomics(const apply::Place& place, const Value& v, std::vector<std::string>& path,
                  std::vector<std::string>& out) {
  using apply::Shape;
  if (place.shape == Shape::kAtomic) {
    if (v.is_map() || v.is_list()) out.push_back(path_text(path));
    return;
  }
  if (v.is_map() && place.shape == Shape::kStruct) {
    for (const Member& m : v.members()) {
      const FieldDesc* field = place.type->find(m.key());
      if (!field) continue;
      path.push_back("." + std::string(m.key()));
      find_atomics(apply::place_of(*field), m.value, path, out);
      path.pop_back();
    }
  } else if (v.is_list() && (place.shape == Shape::kKeyed || place.shape == Shape::kSet)) {
    const apply::Place item = apply::element_of(*place.field);
    size_t i = 0;
    for (const Value& element : v.items()) {
      path.push_back("[" + std::to_string(i++) + "]");
      find_atomics(item, element, path, out);
      path.pop_back();
    }
  }
}

std::string joined(const std::vector<std::string>& texts, std::string_view by) {
  std::string out;
  for (const std::string& t : texts) out += (out.empty() ? "" : std::string(by)) + t;
  return out;
}

Mutated apply_configuration(cel::Run& run, const cel::Val& v, const KindDesc& kind,
                            const Value& tree, Loop& loop) {
  if (!v.is_opaque(cel::Opaque::Kind::kObject)) {
    return failed("unsupported return type from ApplyConfiguration expression: " +
                  std::string(cel::type_name(v)));
  }
  if (const std::string wrong = misplaced(run, v); !wrong.empty()) {
    return failed("type mismatch: " + wrong);
  }
  Document words;
  Result<Value> root = cel::to_value(run, words.arena, v);
  if (!root.ok()) return failed("error applying patch: " + root.status().message());
  words.root = *root;
  words.root.set(words.arena, "apiVersion", Value::string(kind.api_version()));
  words.root.set(words.arena, "kind", Value::string(kind.kind));
  const TypeDesc& type = *kind.type;
  if (const auto faults = apply::check_typed(type, words.root); !faults.empty()) {
    return failed("error applying patch: failed to convert patch object to typed object: " +
                  joined(faults, "\n"));
  }
  std::vector<std::string> path, atomics;
  find_atomics(apply::root_of(type), words.root, path, atomics);
  if (!atomics.empty()) {
    return failed(
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
        "structs: " +
        joined(atomics, ", "));
  }
  Document made;
  hold_kind(made.arena, kind);
  made.root = deep_copy(made.arena, tree);
  const Value laid = deep_copy(made.arena, words.root);
  apply::merge_into(made.arena, type, made.root, laid);
  if (Status s = normalize(type, made); !s.ok()) {
    return failed("error applying patch: failed to convert typed object to object: " + s.message());
  }
  return finished(kind, std::move(made), loop);
}

}  // namespace

Mutated mutate(const Policy& policy, const Mutation& mutation, const cel::AdmissionInput& values,
               const KindDesc& kind, const Value& tree, Loop& loop) {
  if (!mutation.expression.program) return failed(mutation.expression.error);
  cel::Evaluation evaluation(values, &policy.variables);
  const Result<cel::Val> v = evaluation.evaluate(mutation.expression);
  if (!v.ok()) return failed(v.status().message());
  if (v->is_error()) return failed(std::string(v->text()));
  if (mutation.json_patch) {
    const Value& shown = values.object ? *values.object : Value::null();
    return apply_operations(evaluation.run(), *v, shown, kind, loop);
  }
  return apply_configuration(evaluation.run(), *v, kind, tree, loop);
}

}  // namespace keles::policies
