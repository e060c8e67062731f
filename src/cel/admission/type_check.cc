#include "cel/admission/type_check.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "cel/admission/compiler.h"
#include "machinery/custom_kind.h"

namespace keles::cel {
namespace {

constexpr size_t kMostKinds = 10;

struct ByName {
  bool operator()(const KindDesc* a, const KindDesc* b) const {
    return std::tie(a->group, a->version, a->kind) < std::tie(b->group, b->version, b->kind);
  }
};
using Kinds = std::set<const KindDesc*, ByName>;

// The names in a rule's list, sorted. None when one of them stands for many: then the rule says
// nothing of types; `skip`: but only that name does, or one with these letters.
std::vector<std::string> names(const Value& list, std::string_view many, bool skip) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) {
    const std::string_view name = v.as_string();
    if (name.find_first_of(many) == name.npos) {
      out.emplace_back(name);
    } else if (!skip) {
      return {};
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

Kinds kinds_of(const Value& rules, const Catalog& catalog) {
  Kinds out;
  for (const Value& rule : rules.items()) {
    const auto groups = names(rule["apiGroups"], "*", false),
               versions = names(rule["apiVersions"], "*", false),
               resources = names(rule["resources"], "*/", true);
    size_t count = 0;
    for (const std::string& group : groups) {
      for (const std::string& version : versions) {
        for (const std::string& resource : resources) {
          const KindDesc* kind = catalog.find_resource(group, version, resource);
          if (kind == nullptr) continue;
          out.insert(kind);
          if (++count == kMostKinds) return out;
        }
      }
    }
  }
  return out;
}

DeclPtr type_of(const KindDesc& kind) {
  const CustomKinds* custom = custom_kinds(kind);
  if (custom == nullptr) {
    const TypeDesc* type = kind.type;
    return type == nullptr ? nullptr : decl_type(*type);
  }
  const DocumentPtr definition = custom->definition()->tree();
  const Value& schema = custom->schema_in(*definition, custom->of(kind));
  if (schema["type"].as_string() != "object") return nullptr;
  // Metadata is what it is of every kind.
  auto out = std::make_shared<DeclType>(*decl_type(schema, true));
  if (const TypeDesc* meta = find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")) {
    put_field(*out, "metadata", decl_type(*meta));
  }
  return out;
}

std::string shown(const KindDesc& kind) {
  return std::string(kind.group) + "/" + std::string(kind.version) +
         ", Kind=" + std::string(kind.kind);
}

// A policy's expressions, each held against each kind.
class TypeCheck {
 public:
  TypeCheck(const Value& spec, const Catalog& catalog) : spec_(spec) {
    const Value& param = spec["paramKind"];
    if (param.is_null()) return;
    names_.params = true;
    const KindDesc* kind =
        catalog.find_kind(param["apiVersion"].as_string(), param["kind"].as_string());
    if (kind == nullptr) return;
    types_.params = type_of(*kind);
    types_.params_name = kind->kind;
  }

  std::vector<ExpressionWarning> run(const Kinds& kinds) {
    struct Place {
      std::string field;
      std::string_view text;
      std::string warning = {};
    };
    std::vector<Place> places;
    size_t i = 0;
    for (const Value& v : spec_["validations"].items()) {
      const std::string at = "spec.validations[" + std::to_string(i++) + "].";
      places.push_back({at + "expression", v["expression"].as_string()});
      const std::string_view message = v["messageExpression"].as_string();
      if (!message.empty()) places.push_back({at + "messageExpression", message});
    }
    for (const KindDesc* kind : kinds) {
      types_.object = type_of(*kind);
      types_.object_name = kind->kind;
      AdmissionCompiler compiler(AdmissionCompiler::Variables::kComposed, &types_);
      for (const Value& v : spec_["variables"].items()) {
        compiler.check_variable(v["name"].as_string(), v["expression"].as_string(), names_);
      }
      for (Place& p : places) {
        const std::string wrong = compiler.check(p.text, names_);
        if (wrong.empty()) continue;
        p.warning += (p.warning.empty() ? "" : "\n") + shown(*kind) + ": " + wrong + "\n";
      }
    }
    std::vector<ExpressionWarning> out;
    for (Place& p : places) {
      if (!p.warning.empty()) out.push_back({std::move(p.field), std::move(p.warning)});
    }
    return out;
  }

 private:
  const Value& spec_;
  AdmissionNames names_;
  CheckedTypes types_;
};

}  // namespace

std::vector<ExpressionWarning> check_policy_types(const Value& policy, const Catalog& catalog) {
  const Value& spec = policy["spec"];
  return TypeCheck(spec, catalog).run(kinds_of(spec["matchConstraints"]["resourceRules"], catalog));
}

}  // namespace keles::cel
