#include "cel/admission/device_selector.h"

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

}  // namespace

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
