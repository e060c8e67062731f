#include "server/identity/claims.h"

#include <algorithm>

#include "base/encoding.h"
#include "cel/env.h"
#include "cel/run.h"
#include "machinery/codec_json.h"

namespace keles::identity {
namespace {

using cel::Expr;
using cel::Val;

const cel::Env& claims_env() {
  static const cel::Env env = [] {
    cel::Env e;
    e.add("claims", cel::map_type(cel::string_type(), cel::dyn_type()));
    return e;
  }();
  return env;
}

const cel::DeclPtr& user_decl() {
  static const cel::DeclPtr decl = [] {
    auto schema = parse_json(R"({"type":"object","properties":{
      "username":{"type":"string"},"uid":{"type":"string"},
      "groups":{"type":"array","items":{"type":"string"}},
      "extra":{"type":"object","additionalProperties":
        {"type":"array","items":{"type":"string"}}}}})");
    return cel::decl_type(schema->root, false);
  }();
  return decl;
}

const cel::Env& user_env() {
  static const cel::Env env = [] {
    cel::Env e;
    e.add_object("user", user_decl(), "kubernetes.UserInfo");
    return e;
  }();
  return env;
}

// `claims.FIELD`, `claims.?FIELD`.
bool selects(const Expr* e, std::string_view field) {
  auto is_claims = [](const Expr* x) {
    return x != nullptr && x->kind == Expr::Kind::kIdent && x->name == "claims";
  };
  if (e->kind == Expr::Kind::kSelect) return is_claims(e->target) && e->name == field;
  if (e->kind != Expr::Kind::kCall || e->name != cel::op::kOptSelect || e->args.size() != 2) {
    return false;
  }
  const auto* name = std::get_if<std::string>(&e->args[1]->literal);
  return is_claims(e->args[0]) && name != nullptr && *name == field;
}

Result<Compiled> compile(std::string_view text, const cel::Env& env, bool to_bool) {
  auto checked = cel::Expression::compile(text, env);
  if (!checked.ok()) {
    return Status::bad_request("compilation failed: " + checked.status().message());
  }
  if (to_bool && checked->type()->kind != cel::TypeKind::kBool) {
    return Status::bad_request("must evaluate to bool");
  }
  Compiled out;
  out.text = text;
  cel::visit_post_order(checked->ast().root, [&out](const Expr* e) {
    out.names_email |= selects(e, "email");
    out.names_email_verified |= selects(e, "email_verified");
  });
  auto program = checked->plan();
  if (!program.ok()) {
    return Status::bad_request("program instantiation failed: " + program.status().message());
  }
  out.program = *program;
  return out;
}

// JSON's numbers are all of one kind to who reads them as Go does.
void as_doubles(Value& v) {
  if (v.is_int()) v = Value(v.as_double());
  for (Value& item : v.items()) as_doubles(item);
  for (Member& m : v.members()) as_doubles(m.value);
}

Status failed(const char* what, std::string_view why) {
  return Status::unauthorized("oidc: error evaluating " + std::string(what) + ": " +
                              std::string(why));
}

// A text, or a list of texts; what is empty is not there.
bool text_list(cel::Run& run, const Val& v, std::vector<std::string>* out) {
  if (v.is(Val::Tag::kNull)) return true;
  if (v.is(Val::Tag::kString)) {
    if (!v.text().empty()) out->emplace_back(v.text());
    return true;
  }
  if (!v.is(Val::Tag::kList)) return false;
  for (size_t i = 0; i < v.size(); ++i) {
    const Val item = cel::list_at(run, v, i);
    if (!item.is(Val::Tag::kString)) return false;
    if (!item.text().empty()) out->emplace_back(item.text());
  }
  return true;
}

constexpr std::string_view kNoTexts = "expression must return a string or a list of strings";

Result<std::string> text_claim(const Value& claims, const std::string& name) {
  const Value* v = claims.find(name);
  if (v == nullptr) return Status::unauthorized("claim not present");
  if (v->is_null()) return std::string();
  if (v->is_string()) return std::string(v->as_string());
  const char* kind = v->is_bool()     ? "bool"
                     : v->is_number() ? "number"
                     : v->is_list()   ? "array"
                                      : "object";
  return Status::unauthorized(std::string("json: cannot unmarshal ") + kind +
                              " into Go value of type string");
}

// Turns claims into a user, a step at a time, in the order of the checks.
class Mapping {
 public:
  Mapping(const ClaimRules& rules, const Value& claims) : rules_(rules), claims_(claims) {
    if (!rules.use_expressions()) return;
    seen_.root = deep_copy(seen_.arena, claims);
    as_doubles(seen_.root);
    run_.bind(0, cel::wrap(run_, seen_.root, nullptr));
  }

  Result<Caller> make() {
    TRY(username());
    TRY(groups());
    TRY(uid());
    TRY(extra());
    for (const auto& [claim, value] : rules_.required) TRY(required(claim, value));
    TRY(hold(rules_.claim_rules, run_, "claim validation expression"));
    if (!rules_.user_rules.empty()) TRY(user_rules());
    return std::move(user_);
  }

 private:
  Val evaluate(const Compiled& c) {
    run_.restart(cel::kPerCallLimit);
    return c.program->evaluate(run_);
  }

  Status username() {
    const ClaimOrExpression& m = rules_.username;
    if (m.expression.program) {
      const char* what = "username claim expression";
      const Val v = evaluate(m.expression);
      if (v.is_error()) return failed(what, v.text());
      if (!v.is(Val::Tag::kString)) {
        return failed(what, "username claim expression must return a string");
      }
      if (v.text().empty()) {
        return Status::unauthorized("oidc: empty username via CEL expression is not allowed");
      }
      user_.name = v.text();
      return Status();
    }
    auto name = text_claim(claims_, m.claim);
    if (!name.ok()) {
      return Status::unauthorized("oidc: parse username claims " + quoted(m.claim) + ": " +
                                  name.status().message());
    }
    // An address that was not verified is anybody's.
    if (const Value* verified = claims_.find("email_verified");
        m.claim == "email" && verified != nullptr) {
      if (!verified->is_bool()) {
        return Status::unauthorized("oidc: parse 'email_verified' claim: json: cannot unmarshal");
      }
      if (!verified->as_bool()) return Status::unauthorized("oidc: email not verified");
    }
    user_.name = m.prefix + *name;
    return Status();
  }

  Status groups() {
    const ClaimOrExpression& m = rules_.groups;
    if (m.expression.program) {
      const char* what = "group claim expression";
      const Val v = evaluate(m.expression);
      if (v.is_error()) return failed(what, v.text());
      return text_list(run_, v, &user_.groups) ? Status() : failed(what, kNoTexts);
    }
    const Value* v = m.claim.empty() ? nullptr : claims_.find(m.claim);
    if (v == nullptr || v->is_null()) return Status();
    auto wrong = [&m] {
      return Status::unauthorized("oidc: parse groups claim " + quoted(m.claim) +
                                  ": json: cannot unmarshal into Go value of type string");
    };
    if (v->is_string()) {
      user_.groups.push_back(m.prefix + std::string(v->as_string()));
      return Status();
    }
    if (!v->is_list()) return wrong();
    for (const Value& g : v->items()) {
      if (!g.is_string()) return wrong();
      user_.groups.push_back(m.prefix + std::string(g.as_string()));
    }
    return Status();
  }

  Status uid() {
    const ClaimOrExpression& m = rules_.uid;
    if (m.expression.program) {
      const char* what = "uid claim expression";
      const Val v = evaluate(m.expression);
      if (v.is_error()) return failed(what, v.text());
      if (!v.is(Val::Tag::kString))
        return failed(what, "uid claim expression must return a string");
      user_.uid = v.text();
    } else if (!m.claim.empty()) {
      auto uid = text_claim(claims_, m.claim);
      if (!uid.ok()) {
        return Status::unauthorized("oidc: parse uid claim " + quoted(m.claim) + ": " +
                                    uid.status().message());
      }
      user_.uid = *uid;
    }
    return Status();
  }

  Status extra() {
    const std::string_view id = claims_["jti"].as_string();
    if (!id.empty()) {
      user_.extra["authentication.kubernetes.io/credential-id"] = {"JTI=" + std::string(id)};
    }
    for (const ExtraMapping& m : rules_.extra) {
      const Val v = evaluate(m.value);
      if (v.is_error()) return Status::unauthorized(std::string(v.text()));
      std::vector<std::string> values;
      if (!text_list(run_, v, &values)) {
        return failed("extra claim expression", m.value.text + ": " + std::string(kNoTexts));
      }
      if (!values.empty()) user_.extra[m.key] = std::move(values);
    }
    return Status();
  }

  Status required(const std::string& claim, const std::string& value) {
    if (claims_.find(claim) == nullptr) {
      return Status::unauthorized("oidc: required claim " + claim + " not present in ID token");
    }
    auto got = text_claim(claims_, claim);
    if (!got.ok()) {
      return Status::unauthorized("oidc: parse claim " + claim + ": " + got.status().message());
    }
    if (*got == value) return Status();
    return Status::unauthorized("oidc: required claim " + claim +
                                " value does not match. Got = " + *got + ", want = " + value);
  }

  static Status hold(const std::vector<ValidationRule>& rules, cel::Run& run, const char* what) {
    for (const ValidationRule& rule : rules) {
      run.restart(cel::kPerCallLimit);
      const Val v = rule.expression.program->evaluate(run);
      if (v.is_error()) return failed(what, v.text());
      if (!v.is(Val::Tag::kBool))
        return failed(what, "validation expression must return a boolean");
      if (!v.as_bool()) {
        return failed(
            what, "validation expression '" + rule.expression.text + "' failed: " + rule.message);
      }
    }
    return Status();
  }

  Status user_rules() {
    Document d;
    Arena& a = d.arena;
    d.root = Value::map();
    d.root.set(a, "username", Value::string(user_.name));
    d.root.set(a, "uid", Value::string(user_.uid));
    auto texts = [&a](const std::vector<std::string>& list) {
      Value out = Value::list();
      for (const std::string& s : list) out.append(a, Value::string(s));
      return out;
    };
    d.root.set(a, "groups", texts(user_.groups));
    Value extra = Value::map();
    for (const auto& [key, values] : user_.extra) extra.set(a, key, texts(values));
    d.root.set(a, "extra", extra);
    cel::Run run;
    run.bind(0, cel::wrap(run, d.root, user_decl().get()));
    return hold(rules_.user_rules, run, "user info validation rule");
  }

  const ClaimRules& rules_;
  const Value& claims_;
  Document seen_;
  cel::Run run_;
  Caller user_;
};

}  // namespace

bool ClaimRules::use_expressions() const {
  return username.expression.program || groups.expression.program || uid.expression.program ||
         !extra.empty() || !claim_rules.empty();
}

Result<Compiled> compile_claims(std::string_view text, bool to_bool) {
  return compile(text, claims_env(), to_bool);
}
Result<Compiled> compile_user(std::string_view text) { return compile(text, user_env(), true); }

Result<Caller> user_of(const ClaimRules& rules, const Value& claims) {
  return Mapping(rules, claims).make();
}

}  // namespace keles::identity
