// Type parameters found while a tree is checked, and what fits what under them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cel/type.h"

namespace keles::cel {

class Unifier {
 public:
  // A parameter of its own name.
  TypePtr fresh();
  // `b` may stand where `a` is wanted; what that says of parameters is kept if so.
  bool assignable(const TypePtr& a, const TypePtr& b);
  bool assignable(const std::vector<TypePtr>& a, const std::vector<TypePtr>& b);
  // Parameters by what is known of them; `rest_is_dyn`: those of which nothing is are dyn.
  TypePtr substitute(const TypePtr& t, bool rest_is_dyn) const;
  static const TypePtr& most_general(const TypePtr& a, const TypePtr& b);

 private:
  struct Binding {
    std::string name;
    TypePtr type;
  };
  const TypePtr* find(const Type& param) const;
  void bind(const Type& param, TypePtr to);
  bool fits(const TypePtr& a, const TypePtr& b);
  bool fits(const std::vector<TypePtr>& a, const std::vector<TypePtr>& b);
  struct Substitution {
    bool valid, known;
  };
  Substitution substitutable(const TypePtr& t, const TypePtr& param);
  bool absent_from(const Type& param, const TypePtr& within) const;
  std::vector<Binding> bindings_;
  int count_ = 0;
};

// Replaces parameters by name.
TypePtr instantiate(const TypePtr& t, const std::vector<std::pair<std::string, TypePtr>>& by);

}  // namespace keles::cel
