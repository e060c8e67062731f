#include "machinery/dotted_path.h"

namespace keles {
namespace {

// Takes the first name off `path`.
std::string_view next_name(std::string_view& path) {
  const size_t dot = path.find('.');
  const std::string_view name = path.substr(0, dot);
  path.remove_prefix(dot == std::string_view::npos ? path.size() : dot + 1);
  return name;
}

std::string_view without_dot(std::string_view path) {
  if (path.starts_with('.')) path.remove_prefix(1);
  return path;
}

}  // namespace

const Value& value_at(const Value& root, std::string_view path) {
  const Value* at = &root;
  for (path = without_dot(path); !path.empty();) at = &(*at)[next_name(path)];
  return *at;
}

void put_at(Document& doc, std::string_view path, Value value) {
  Value* at = &doc.root;
  path = without_dot(path);
  while (true) {
    const std::string_view name = next_name(path);
    if (path.empty()) {
      at->set(doc.arena, name, value);
      return;
    }
    at = &at->get_or_add(doc.arena, name);
    if (!at->is_map()) *at = Value::map();
  }
}

const FieldDesc* field_at(const TypeDesc& type, std::string_view path) {
  const TypeDesc* in = &type;
  const FieldDesc* f = nullptr;
  for (path = without_dot(path); !path.empty();) {
    if (f && f->cardinality != Cardinality::kSingle) return nullptr;
    f = in ? in->find(next_name(path)) : nullptr;
    if (!f) return nullptr;
    in = f->message;
  }
  return f;
}

}  // namespace keles
