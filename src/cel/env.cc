#include "cel/env.h"

#include <cassert>

#include "cel/libraries.h"
#include "cel/run.h"

namespace keles::cel {
namespace {

constexpr std::string_view kObject = "Object", kJsonPatch = "JSONPatch";

class Registry {
 public:
  Registry() {
    for (const auto add : kLibraries) {
      Library library;
      add(library);
      for (FunctionDecl& f : library.functions) enter(std::move(f));
    }
  }
  const FunctionDecl* find(std::string_view name) const {
    const auto at = functions_.find(name);
    return at == functions_.end() ? nullptr : &at->second;
  }

 private:
  void enter(FunctionDecl f) {
    FunctionDecl& known = functions_[f.name];
    known.name = f.name;
    known.unguarded |= f.unguarded;
    for (Overload& o : f.overloads) known.overloads.push_back(std::move(o));
  }
  std::map<std::string_view, FunctionDecl> functions_;
};

}  // namespace

const FunctionDecl* find_function(std::string_view name) {
  static const Registry kRegistry;
  return kRegistry.find(name);
}

size_t Env::add(std::string name, TypePtr type) {
  assert(variables_.size() < Run::kMaxVariables);
  variables_.push_back({std::move(name), std::move(type), nullptr});
  return variables_.size() - 1;
}

size_t Env::add_object(std::string name, DeclPtr decl, std::string_view type_name, bool optional) {
  const std::string path(type_name);
  // Objects by the path on which they are reached, all below this one.
  const auto enter = [&](const auto& self, const DeclPtr& d, std::string at) -> void {
    if (d->seen_as != nullptr) at = d->seen_as->name;
    switch (d->kind) {
      case DeclType::Kind::kObject:
        if (!objects_.emplace(at, d).second) return;
        for (const DeclField& f : d->fields) {
          if (f.visible) self(self, f.type, at + "." + f.escaped);
        }
        return;
      case DeclType::Kind::kList:
        return self(self, d->element, at + ".@idx");
      case DeclType::Kind::kMap:
        return self(self, d->element, at + ".@elem");
      default:
        return;
    }
  };
  enter(enter, decl, path);
  TypePtr type = type_of(decl, path);
  if (optional) type = optional_type(std::move(type));
  const size_t i = add(std::move(name), std::move(type));
  variables_[i].decl = std::move(decl);
  return i;
}

const Variable* Env::find_variable(std::string_view name) const {
  for (const Variable& v : variables_) {
    if (v.name == name) return &v;
  }
  return nullptr;
}

std::vector<std::string> Env::candidates(std::string_view name) const {
  if (name.starts_with('.')) return {std::string(name.substr(1))};
  std::vector<std::string> out;
  for (std::string_view c = container_; !c.empty();) {
    out.push_back(std::string(c) + "." + std::string(name));
    const size_t dot = c.rfind('.');
    c = dot == c.npos ? std::string_view() : c.substr(0, dot);
  }
  out.emplace_back(name);
  return out;
}

TypePtr Env::type_of(const DeclPtr& decl, const std::string& path) const {
  if (decl->seen_as != nullptr) return decl->seen_as;
  switch (decl->kind) {
    case DeclType::Kind::kBool:
      return bool_type();
    case DeclType::Kind::kInt:
      return int_type();
    case DeclType::Kind::kDouble:
      return double_type();
    case DeclType::Kind::kString:
      return string_type();
    case DeclType::Kind::kBytes:
      return bytes_type();
    case DeclType::Kind::kDuration:
      return duration_type();
    case DeclType::Kind::kDate:
    case DeclType::Kind::kDateTime:
      return timestamp_type();
    case DeclType::Kind::kList:
      return list_type(type_of(decl->element, path + ".@idx"));
    case DeclType::Kind::kMap:
      return map_type(string_type(), type_of(decl->element, path + ".@elem"));
    case DeclType::Kind::kObject:
      return struct_type(path);
    case DeclType::Kind::kIntOrString:
    case DeclType::Kind::kAny:
    case DeclType::Kind::kUnknown:
      break;
  }
  return dyn_type();
}

const DeclType* Env::find_object(std::string_view type_name) const {
  const auto at = objects_.find(type_name);
  return at == objects_.end() ? nullptr : at->second.get();
}

const FunctionDecl* Env::function(std::string_view name) const {
  if (!json_patch_ && name.starts_with("jsonpatch.")) return nullptr;
  return find_function(name);
}

TypePtr Env::find_made_type(std::string_view name) const {
  if (!objects_allowed_) return nullptr;
  if (name != kJsonPatch && name != kObject && !name.starts_with("Object.")) return nullptr;
  return struct_type(std::string(name));
}

TypePtr Env::find_type(std::string_view name) const {
  if (TypePtr made = find_made_type(name); made != nullptr) return made;
  return find_type_name(name);
}

bool Env::has_fields(std::string_view type_name) const {
  return find_object(type_name) != nullptr || find_made_type(type_name) != nullptr;
}

TypePtr Env::field_type(std::string_view type_name, std::string_view field) const {
  if (find_made_type(type_name) != nullptr) {
    if (type_name != kJsonPatch || field == "value") return dyn_type();
    return field == "op" || field == "path" || field == "from" ? string_type() : nullptr;
  }
  const DeclType* object = find_object(type_name);
  const DeclField* f = object == nullptr ? nullptr : object->find_visible(field);
  if (f == nullptr) return nullptr;
  return type_of(f->type, std::string(type_name) + "." + f->escaped);
}

TypePtr find_type_name(std::string_view name) {
  static const std::map<std::string_view, TypePtr> kTypes = {
      {"bool", bool_type()},
      {"bytes", bytes_type()},
      {"double", double_type()},
      {"google.protobuf.Duration", duration_type()},
      {"int", int_type()},
      {"list", list_type(param_type("A"))},
      {"map", map_type(param_type("A"), param_type("B"))},
      {"null_type", null_type()},
      {"string", string_type()},
      {"google.protobuf.Timestamp", timestamp_type()},
      {"type", type_type()},
      {"uint", uint_type()},
      {"optional_type", opaque_type("optional_type")},
      {"net.IP", opaque_type("net.IP")},
      {"net.CIDR", opaque_type("net.CIDR")}};
  const auto at = kTypes.find(name);
  return at == kTypes.end() ? nullptr : at->second;
}

}  // namespace keles::cel
