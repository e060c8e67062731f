#include "cel/admission/compiler.h"

namespace keles::cel {
namespace {

using Kind = DeclType::Kind;

DeclPtr make_request_type() {
  const DeclPtr text = text_decl(), texts = list_decl(text);
  const DeclPtr kind = named_object("kubernetes.GroupVersionKind",
                                    {{"group", text}, {"version", text}, {"kind", text}});
  const DeclPtr resource = named_object("kubernetes.GroupVersionResource",
                                        {{"group", text}, {"version", text}, {"resource", text}});
  const DeclPtr user = named_object(
      "kubernetes.UserInfo",
      {{"username", text}, {"uid", text}, {"groups", texts}, {"extra", map_decl(texts)}});
  return named_object("kubernetes.AdmissionRequest", {{"kind", kind},
                                                      {"resource", resource},
                                                      {"subResource", text},
                                                      {"requestKind", kind},
                                                      {"requestResource", resource},
                                                      {"requestSubResource", text},
                                                      {"name", text},
                                                      {"namespace", text},
                                                      {"operation", text},
                                                      {"userInfo", user},
                                                      {"dryRun", scalar_decl(Kind::kBool)},
                                                      {"options", any_decl_type()}});
}

DeclPtr make_namespace_type() {
  const DeclPtr text = text_decl(), time = scalar_decl(Kind::kDateTime),
                number = scalar_decl(Kind::kInt), texts = list_decl(text), labels = map_decl(text);
  const DeclPtr condition =
      named_object("kubernetes.NamespaceCondition", {{"status", text},
                                                     {"type", text},
                                                     {"lastTransitionTime", time},
                                                     {"message", text},
                                                     {"reason", text}});
  const DeclPtr metadata =
      named_object("kubernetes.NamespaceMetadata", {{"name", text},
                                                    {"generateName", text},
                                                    {"namespace", text},
                                                    {"labels", labels},
                                                    {"annotations", labels},
                                                    {"UID", text},
                                                    {"creationTimestamp", time},
                                                    {"deletionGracePeriodSeconds", number},
                                                    {"deletionTimestamp", time},
                                                    {"generation", number},
                                                    {"resourceVersion", text},
                                                    {"finalizers", texts}});
  const DeclPtr spec = named_object("kubernetes.NamespaceSpec", {{"finalizers", texts}});
  const DeclPtr status = named_object("kubernetes.NamespaceStatus",
                                      {{"conditions", list_decl(condition)}, {"phase", text}});
  return named_object("kubernetes.Namespace",
                      {{"metadata", metadata}, {"spec", spec}, {"status", status}});
}

// What later expressions know of a variable: scalars, and lists and maps of what is known.
TypePtr type_of_variable(const TypePtr& t) {
  if (t == nullptr) return dyn_type();
  switch (t->kind) {
    case TypeKind::kAny:
    case TypeKind::kBool:
    case TypeKind::kBytes:
    case TypeKind::kDouble:
    case TypeKind::kDuration:
    case TypeKind::kInt:
    case TypeKind::kNull:
    case TypeKind::kString:
    case TypeKind::kTimestamp:
    case TypeKind::kUint:
      return t;
    case TypeKind::kList:
      return list_type(type_of_variable(t->params[0]));
    case TypeKind::kMap:
      return map_type(type_of_variable(t->params[0]), type_of_variable(t->params[1]));
    default:
      return dyn_type();
  }
}

bool gives(const Type& type, const results::Results& wanted) {
  for (const TypePtr& w : wanted) {
    if (type.same(*w)) return true;
  }
  return wanted.empty();
}

std::string wrong_result(const Type& type, const results::Results& wanted) {
  if (wanted.size() == 1) {
    return "must evaluate to " + declared_text(*wanted[0]) + " but got " + declared_text(type);
  }
  std::string all;
  for (const TypePtr& w : wanted) all += (all.empty() ? "" : " ") + declared_text(*w);
  return "must evaluate to one of [" + all + "] but got " + declared_text(type);
}

void add_data(Env& env, const char* name, const DeclPtr& type, std::string_view type_name) {
  if (type == nullptr) {
    env.add(name, dyn_type());
  } else {
    env.add_object(name, type, type_name);
  }
}

}  // namespace

const DeclPtr& admission_request_type() {
  static const DeclPtr kType = make_request_type();
  return kType;
}
const DeclPtr& admission_namespace_type() {
  static const DeclPtr kType = make_namespace_type();
  return kType;
}

namespace results {
const Results& any() {
  static const Results kTypes;
  return kTypes;
}
const Results& boolean() {
  static const Results kTypes = {bool_type()};
  return kTypes;
}
const Results& text() {
  static const Results kTypes = {string_type()};
  return kTypes;
}
const Results& text_or_null() {
  static const Results kTypes = {string_type(), null_type()};
  return kTypes;
}
const Results& object() {
  static const Results kTypes = {struct_type("Object")};
  return kTypes;
}
const Results& json_patch() {
  static const Results kTypes = {list_type(struct_type("JSONPatch"))};
  return kTypes;
}
}  // namespace results

AdmissionCompiler::AdmissionCompiler(Variables variables, const CheckedTypes* types)
    : types_(types) {
  if (variables == Variables::kComposed) variables_ = named_object("kubernetes.variables", {});
}

// Variables that an expression may not name keep their number under a name that nobody can write.
Env& AdmissionCompiler::env(const AdmissionNames& names) {
  std::unique_ptr<Env>& env =
      envs_[(names.params ? 1 : 0) + (names.authorizer ? 2 : 0) + (names.objects ? 4 : 0)];
  if (env != nullptr) return *env;
  env = std::make_unique<Env>();
  const CheckedTypes none, &types = types_ == nullptr ? none : *types_;
  add_data(*env, "object", types.object, types.object_name);
  add_data(*env, "oldObject", types.object, types.object_name);
  env->add_object("namespaceObject", admission_namespace_type(), "kubernetes.Namespace");
  env->add_object("request", admission_request_type(), "kubernetes.AdmissionRequest");
  add_data(*env, names.params ? "params" : "", names.params ? types.params : nullptr,
           types.params_name);
  env->add(names.authorizer ? "authorizer" : "",
           struct_type("kubernetes.authorization.Authorizer"));
  // Not declared where types are checked.
  env->add(names.authorizer && types_ == nullptr ? "authorizer.requestResource" : "",
           struct_type("kubernetes.authorization.ResourceCheck"));
  if (variables_ != nullptr) env->add_object("variables", variables_, "kubernetes.variables");
  if (names.objects) {
    env->allow_objects();
  } else {
    env->forbid_json_patch();
  }
  return *env;
}

CompiledExpression AdmissionCompiler::compile(std::string_view text, const results::Results& wanted,
                                              const AdmissionNames& names) {
  CompiledExpression out;
  out.text = text;
  const Result<Expression> e = Expression::compile(text, env(names));
  if (!e.ok()) {
    out.error = "compilation failed: " + e.status().message();
    return out;
  }
  if (!gives(*e->type(), wanted)) {
    out.error = wrong_result(*e->type(), wanted);
    return out;
  }
  const Result<ProgramPtr> program = e->plan();
  if (!program.ok()) {
    out.error = "program instantiation failed: " + program.status().message();
    out.internal = true;
    return out;
  }
  out.program = *program;
  out.type = e->type();
  return out;
}

void AdmissionCompiler::declare(std::string_view name, const TypePtr& type) {
  put_field(*variables_, name, typed_decl(type_of_variable(type)));
}

CompiledExpression AdmissionCompiler::add_variable(std::string_view name, std::string_view text,
                                                   const AdmissionNames& names) {
  CompiledExpression out = compile(text, results::any(), names);
  declare(name, out.type);
  return out;
}

std::string AdmissionCompiler::check(std::string_view text, const AdmissionNames& names) {
  const Result<Expression> e = Expression::compile(text, env(names));
  return e.ok() ? "" : e.status().message();
}

std::string AdmissionCompiler::check_variable(std::string_view name, std::string_view text,
                                              const AdmissionNames& names) {
  const Result<Expression> e = Expression::compile(text, env(names));
  declare(name, e.ok() ? e->type() : nullptr);
  return e.ok() ? "" : e.status().message();
}

}  // namespace keles::cel
