#include "cel/admission/device_selector.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "cel/env.h"
#include "cel/program.h"

namespace keles::cel {
namespace {

constexpr int64_t kMostDomain = 63, kMostId = 32, kMostDriver = 63, kMostText = 64, kMostNames = 32;

TypePtr unknown_type() {
  static const TypePtr kType = [] {
    auto t = std::make_shared<Type>();
    t->kind = TypeKind::kAny;
    t->name = "any";
    return t;
  }();
  return kType;
}

Env make_environment() {
  const auto by_name = [](const DeclPtr& element) {
    return map_decl(map_decl(element, kMostNames), kMostNames);
  };
  const DeclPtr device =
      named_object("kubernetes.DRADevice",
                   {{"driver", text_decl(kMostDriver)},
                    {"allowMultipleAllocations", scalar_decl(DeclType::Kind::kBool, 1)},
                    {"attributes", by_name(typed_decl(unknown_type(), kMostText))},
                    {"capacity", by_name(typed_decl(struct_type("kubernetes.Quantity")))}});
  Env env;
  env.allow_bindings();
  env.forbid_json_patch();
  env.add_object("device", device, "kubernetes.DRADevice");
  return env;
}

const Env& environment() {
  static const Env kEnv = make_environment();
  return kEnv;
}

// A library's value from its text ("1.2.3" as a version), by the function that makes it.
Val made_by(Run& run, std::string_view function, std::string_view text) {
  const Val arg = Val::string(text);
  return find_function(function)->overloads.front().call(run, {&arg, 1});
}

// The names of one domain: attributes or capacities. A name without a domain is of the driver's.
class NamesOfDomain final : public LazyFields {
 public:
  NamesOfDomain(const Value& all, std::string_view domain, std::string_view driver, bool capacity)
      : capacity_(capacity) {
    for (const Member& m : all.members()) {
      const size_t slash = m.key().find('/');
      const bool bare = slash == std::string_view::npos;
      if ((bare ? driver : m.key().substr(0, slash)) != domain) continue;
      names_.push_back({bare ? m.key() : m.key().substr(slash + 1), &m.value});
    }
  }
  bool find(Run& run, std::string_view name, Val& out) const override {
    for (const auto& [own, v] : names_) {
      if (own != name) continue;
      out = capacity_ ? made_by(run, "quantity", (*v)["value"].as_string()) : attribute(run, *v);
      return true;
    }
    return false;
  }
  size_t size() const override { return names_.size(); }
  std::string_view name_at(size_t i) const override { return names_[i].first; }

 private:
  static Val attribute(Run& run, const Value& v) {
    if (const Value& i = v["int"]; !i.is_null()) return Val::integer(i.as_int());
    if (const Value& b = v["bool"]; !b.is_null()) return Val::boolean(b.as_bool());
    if (const Value& s = v["string"]; !s.is_null()) return Val::string(s.as_string());
    if (const Value& s = v["version"]; !s.is_null()) return made_by(run, "semver", s.as_string());
    return Val::error("unsupported attribute value");
  }
  std::vector<std::pair<std::string_view, const Value*>> names_;
  bool capacity_;
};

// By domain. One that the device knows nothing of is there, and has no names.
class Domains final : public LazyFields {
 public:
  Domains(const SelectableDevice& device, bool capacity) : device_(device), capacity_(capacity) {
    for (const Member& m : source().members()) {
      const size_t slash = m.key().find('/');
      const std::string_view domain =
          slash == std::string_view::npos ? device.driver : m.key().substr(0, slash);
      if (std::find(domains_.begin(), domains_.end(), domain) == domains_.end()) {
        domains_.push_back(domain);
      }
    }
  }
  bool find(Run&, std::string_view name, Val& out) const override {
    auto [at, fresh] = made_.try_emplace(std::string(name), nullptr);
    if (fresh) {
      at->second = std::make_unique<NamesOfDomain>(source(), at->first, device_.driver, capacity_);
    }
    out = Val::lazy(at->second.get());
    return true;
  }
  size_t size() const override { return domains_.size(); }
  std::string_view name_at(size_t i) const override { return domains_[i]; }

 private:
  const Value& source() const { return capacity_ ? *device_.capacity : *device_.attributes; }
  const SelectableDevice& device_;
  bool capacity_;
  std::vector<std::string_view> domains_;
  mutable std::map<std::string, std::unique_ptr<NamesOfDomain>> made_;
};

class DeviceFields final : public LazyFields {
 public:
  explicit DeviceFields(const SelectableDevice& device)
      : device_(device), attributes_(device, false), capacity_(device, true) {}
  bool find(Run&, std::string_view name, Val& out) const override {
    if (name == "driver") {
      out = Val::string(device_.driver);
    } else if (name == "allowMultipleAllocations") {
      out = Val::boolean(device_.multiple);
    } else if (name == "attributes") {
      out = Val::lazy(&attributes_);
    } else if (name == "capacity") {
      out = Val::lazy(&capacity_);
    } else {
      return false;
    }
    return true;
  }
  size_t size() const override { return kNames.size(); }
  std::string_view name_at(size_t i) const override { return kNames[i]; }

 private:
  static constexpr std::array<std::string_view, 4> kNames = {"allowMultipleAllocations",
                                                             "attributes", "capacity", "driver"};
  const SelectableDevice& device_;
  Domains attributes_, capacity_;
};

}  // namespace

Result<DeviceSelector> DeviceSelector::compile(std::string_view expression) {
  const Result<Expression> e = Expression::compile(expression, environment());
  if (!e.ok()) return e.status().with_prefix("CEL compile error: compilation failed");
  Result<ProgramPtr> program = e->plan();
  if (!program.ok()) {
    return program.status().with_prefix("CEL compile error: program instantiation failed");
  }
  return DeviceSelector(std::move(*program));
}

Result<bool> DeviceSelector::matches(const SelectableDevice& device) const {
  Limits limits;
  limits.cost = kDeviceSelectorCost;
  Run run(limits);
  const DeviceFields fields(device);
  run.bind(0, Val::lazy(&fields));
  const Val v = program_->evaluate(run);
  if (v.is_true() || v.is_false()) return v.is_true();
  if (v.is_error()) return Status::unavailable("CEL runtime error: " + std::string(v.text()));
  return Status::unavailable("CEL runtime error: CEL result of type " + std::string(type_name(v)) +
                             " could not be converted to bool");
}

DeviceSelectorFault check_device_selector(std::string_view expression) {
  DeviceSelectorFault out;
  const Result<Expression> e = Expression::compile(expression, environment());
  if (!e.ok()) {
    out.invalid = "compilation failed: " + e.status().message();
    return out;
  }
  const TypeKind kind = e->type()->kind;
  if (kind != TypeKind::kBool && kind != TypeKind::kAny) {
    out.invalid = "must evaluate to bool or the unknown type, not " + declared_text(*e->type());
    return out;
  }
  if (const Result<ProgramPtr> program = e->plan(); !program.ok()) {
    out.internal = "program instantiation failed: " + program.status().message();
    return out;
  }
  out.too_complex = e->estimate().max > kDeviceSelectorCost;
  return out;
}

}  // namespace keles::cel
