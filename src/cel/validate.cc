// What Kubernetes looks at in an expression that was checked: see checker.h.
#include <string>

#include "cel/checker.h"
#include "cel/format_text.h"
#include "cel/pattern.h"
#include "cel/times.h"
#include "machinery/time.h"

namespace keles::cel {
namespace {

class Validator {
 public:
  Validator(const Source& source, Issues& issues) : source_(source), issues_(issues) {}

  void run(Expr* root) {
    visit_post_order(root, [&](Expr* e) {
      if (e->kind == Expr::Kind::kCall) literals(*e);
    });
    mixed(*root);
    visit_post_order(root, [&](Expr* e) {
      if (e->kind == Expr::Kind::kCall && e->name == "format") format(*e);
    });
  }

 private:
  void fault(const Expr& at, std::string message) {
    issues_.add(source_.location(at.offset), std::move(message));
  }

  void literals(const Expr& e) {
    if (e.args.empty() || e.args[0]->kind != Expr::Kind::kLiteral) return;
    const Expr& arg = *e.args[0];
    const auto* text = std::get_if<std::string>(&arg.literal);
    bool ok = true;
    if (e.name == "duration") {
      ok = text != nullptr && parse_duration(*text).ok();
    } else if (e.name == "timestamp") {
      ZonedTime t;
      const auto* seconds = std::get_if<int64_t>(&arg.literal);
      if (seconds != nullptr) {
        t.at.seconds = *seconds;
      } else {
        ok = text != nullptr && parse_rfc3339(*text, t);
      }
      ok = ok && t.at.seconds >= kFirstMoment && t.at.seconds <= kLastMoment;
    } else if (e.name == "matches") {
      // The first argument, whichever of the two forms the call has: as upstream.
      ok = text != nullptr && Pattern::compile(*text).ok();
    }
    if (!ok) fault(arg, "invalid " + e.name + " argument");
  }

  // Literal lists and maps of several types, except in the arguments of format.
  void mixed(Expr& e) {
    if (e.kind == Expr::Kind::kCall && e.name == "format") {
      if (e.target != nullptr) mixed(*e.target);
      return;
    }
    if (e.target != nullptr) mixed(*e.target);
    for (Expr* arg : e.args) mixed(*arg);
    if (const Expr::Comprehension* c = e.comprehension; c != nullptr) {
      for (Expr* part : {c->range, c->init, c->condition, c->step, c->result}) mixed(*part);
    }
    if (e.kind == Expr::Kind::kList) {
      for (size_t i = 1; i < e.args.size(); ++i) {
        if (!same_type(e, 0, i, e.is_optional(0), e.is_optional(i))) break;
      }
    } else if (e.kind == Expr::Kind::kMap) {
      for (size_t i = 2; i + 1 < e.args.size(); i += 2) {
        same_type(e, 0, i, false, false);
        same_type(e, 1, i + 1, e.is_optional(0), e.is_optional(i / 2));
      }
    }
  }
  bool same_type(const Expr& e, size_t i, size_t j, bool optional_i, bool optional_j) {
    const auto type = [&](size_t n, bool optional) {
      const TypePtr& t = e.args[n]->type;
      return optional && !t->params.empty() ? t->params[0] : t;
    };
    const TypePtr a = type(i, optional_i), b = type(j, optional_j);
    if (a->equivalent(*b)) return true;
    fault(*e.args[j], "expected type '" + a->to_string() + "' but found '" + b->to_string() + "'");
    return false;
  }

  // The first part of a literal argument that %s cannot write; null when there is none.
  static const Expr* unprintable(const Expr& e) {
    switch (e.type->kind) {
      case TypeKind::kOpaque:
      case TypeKind::kStruct:
      case TypeKind::kParam:
        return &e;
      default:
        break;
    }
    if (e.kind != Expr::Kind::kList && e.kind != Expr::Kind::kMap) return nullptr;
    for (const Expr* part : e.args) {
      if (const Expr* bad = unprintable(*part)) return bad;
    }
    return nullptr;
  }

  static bool fits(char letter, const Type& t) {
    if (t.is_dyn()) return true;
    const auto is = [&](std::initializer_list<TypeKind> kinds) {
      for (const TypeKind k : kinds) {
        if (t.kind == k) return true;
      }
      return false;
    };
    switch (letter) {
      case 'd':
      case 'o':
        return is({TypeKind::kInt, TypeKind::kUint});
      case 'f':
      case 'e':
        return is({TypeKind::kDouble, TypeKind::kString});
      case 'b':
        return is({TypeKind::kInt, TypeKind::kUint, TypeKind::kBool});
      default:
        return is({TypeKind::kInt, TypeKind::kUint, TypeKind::kString, TypeKind::kBytes});
    }
  }

  void format(const Expr& e) {
    if (e.target == nullptr || e.args.size() != 1 || e.args[0]->kind != Expr::Kind::kList) return;
    const auto* text = std::get_if<std::string>(&e.target->literal);
    if (e.target->kind != Expr::Kind::kLiteral || text == nullptr) return;
    const std::vector<Expr*>& args = e.args[0]->args;
    const Expr* culprit = &e;
    const auto look = [&](const FormatClause& clause, std::string&) -> Status {
      const Expr& arg = *args[clause.argument];
      const Expr* bad = nullptr;
      if (clause.letter == 's') {
        bad = unprintable(arg);
      } else if (!fits(clause.letter, *arg.type)) {
        bad = &arg;
      }
      if (bad == nullptr) return {};
      culprit = bad;
      return Status(Reason::kInvalid, wrong_argument(clause.letter, bad->type->name));
    };
    size_t used = 0;
    const Result<std::string> result = format_text(*text, args.size(), look, used);
    if (!result.ok()) {
      fault(*culprit, result.status().message());
    } else if (args.size() > used) {
      fault(e, "too many arguments supplied to string.format (expected " + std::to_string(used) +
                   ", got " + std::to_string(args.size()) + ")");
    }
  }

  const Source& source_;
  Issues& issues_;
};

}  // namespace

void validate(Ast& ast, const Source& source, Issues& issues) {
  Validator(source, issues).run(ast.root);
}

}  // namespace keles::cel
