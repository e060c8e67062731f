#include "server/registry/custom_scale.h"

#include <algorithm>
#include <limits>

#include "machinery/codec_json.h"
#include "machinery/go_type.h"
#include "server/objects/meta.h"

namespace keles::registry {
namespace {

std::string shown(const Value& v) {
  return v.is_string() ? std::string(v.as_string()) : to_json(v);
}

Status wrong_type(std::string_view path, const Value& v, std::string_view expected) {
  return Status::bad_request('.' + std::string(path) + " accessor error: " + shown(v) +
                             " is of the type " + std::string(go_type(v)) + ", expected " +
                             std::string(expected));
}

// What lies at the path; null where something on the way is absent.
Result<const Value*> at(const Value& object, std::string_view path) {
  const Value* v = &object;
  size_t from = 0;
  while (from <= path.size()) {
    if (v->is_null()) return nullptr;
    if (!v->is_map()) return wrong_type(path.substr(0, from - 1), *v, "map[string]interface{}");
    const size_t dot = std::min(path.find('.', from), path.size());
    v = v->find(path.substr(from, dot - from));
    if (v == nullptr) return nullptr;
    from = dot + 1;
  }
  return v;
}

Result<std::optional<int64_t>> number_at(const Value& object, std::string_view path) {
  TRY_ASSIGN(v, at(object, path));
  if (v == nullptr) return std::optional<int64_t>();
  if (!v->is_int()) return wrong_type(path, *v, "int64");
  return std::optional<int64_t>(v->as_int());
}

Result<std::string> text_at(const Value& object, std::string_view path) {
  TRY_ASSIGN(v, at(object, path));
  if (v == nullptr) return std::string();
  if (!v->is_string()) return wrong_type(path, *v, "string");
  return std::string(v->as_string());
}

void check_number(const Value& object, std::string_view path, FieldErrors& errors) {
  const std::string shown_path = '.' + std::string(path);
  const FieldPath where(shown_path);
  auto n = number_at(object, path);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (!n.ok()) {
    field::invalid(errors, where, int64_t{0}, n.status().message());
  } else if (n->value_or(0) < 0) {
    field::invalid(errors, where, **n, "should be a non-negative integer");
  } else if (n->value_or(0) > kMost) {
    field::invalid(errors, where, **n, "should be less than or equal to " + std::to_string(kMost));
  }
}

}  // namespace

Result<ScaleNumbers> read_scale(const CustomKinds::Scale& scale, const Value& object) {
  ScaleNumbers out;
  TRY_ASSIGN(wanted, number_at(object, scale.replicas));
  TRY_ASSIGN(observed, number_at(object, scale.observed));
  out.said = wanted.has_value();
  out.replicas = wanted.value_or(0);
  out.observed = observed.value_or(0);
  if (!scale.selector.empty()) {
    TRY_ASSIGN(selector, text_at(object, scale.selector));
    out.selector = std::move(selector);
  }
  return out;
}

Status write_scale(const CustomKinds::Scale& scale, Document& object, int64_t replicas) {
  Value* v = &object.root;
  std::string_view rest = scale.replicas;
  for (size_t dot = rest.find('.'); dot != rest.npos; dot = rest.find('.')) {
    const std::string_view key = rest.substr(0, dot);
    if (const Value* there = v->find(key); there && !there->is_map() && !there->is_null()) {
      return Status::bad_request("value cannot be set because ." + std::string(scale.replicas) +
                                 " is not a map[string]interface{}");
    }
    v = &edit_map(object, *v, key);
    rest.remove_prefix(dot + 1);
  }
  v->set(object.arena, object.arena.copy(rest), Value(replicas));
  return {};
}

void validate_scale_spec(const CustomKinds::Scale& scale, const Value& object,
                         FieldErrors& errors) {
  check_number(object, scale.replicas, errors);
}

void validate_scale_status(const CustomKinds::Scale& scale, const Value& object,
                           FieldErrors& errors) {
  check_number(object, scale.observed, errors);
  if (scale.selector.empty()) return;
  auto selector = text_at(object, scale.selector);
  if (selector.ok()) return;
  const std::string where = '.' + std::string(scale.selector);
  field::invalid(errors, FieldPath(where), "", selector.status().message());
}

}  // namespace keles::registry
