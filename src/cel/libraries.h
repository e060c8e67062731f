// Making the tables of functions: one `add_*` per library, all named in kLibraries.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "cel/env.h"
#include "cel/operator_names.h"

namespace keles::cel {

struct Library {
  std::vector<FunctionDecl> functions;

  // Names and ids are literals.
  void global(std::string_view name, std::string_view id, std::vector<TypePtr> args, TypePtr result,
              Function call) {
    add(name, {id, false, std::move(args), std::move(result), call});
  }
  void member(std::string_view name, std::string_view id, std::vector<TypePtr> args, TypePtr result,
              Function call) {
    add(name, {id, true, std::move(args), std::move(result), call});
  }
  FunctionDecl& function(std::string_view name) {
    for (FunctionDecl& f : functions) {
      if (f.name == name) return f;
    }
    functions.push_back({name, {}, false});
    return functions.back();
  }

 private:
  void add(std::string_view name, Overload o) { function(name).overloads.push_back(std::move(o)); }
};

void add_operators(Library&);
void add_conversions(Library&);
void add_standard_functions(Library&);
void add_times(Library&);
void add_optionals(Library&);
void add_comprehensions(Library&);
void add_strings(Library&);
void add_sets(Library&);
void add_lists(Library&);            // Kubernetes' own: sum, min, max, isSorted, indexOf
void add_list_extensions(Library&);  // slice, flatten, sort, range, reverse, distinct
void add_regex(Library&);
void add_urls(Library&);
void add_addresses(Library&);
void add_quantities(Library&);
void add_formats(Library&);
void add_semver(Library&);
void add_authorizer(Library&);
void add_json_patch(Library&);

// In the order in which overloads of one name are tried.
inline constexpr void (*kLibraries[])(Library&) = {add_operators,
                                                   add_standard_functions,
                                                   add_conversions,
                                                   add_times,
                                                   add_urls,
                                                   add_regex,
                                                   add_lists,
                                                   add_authorizer,
                                                   add_optionals,
                                                   add_quantities,
                                                   add_strings,
                                                   add_sets,
                                                   add_addresses,
                                                   add_formats,
                                                   add_comprehensions,
                                                   add_semver,
                                                   add_list_extensions,
                                                   add_json_patch};

// Usual refusals, in upstream's words.
inline constexpr std::string_view kNoSuchOverload = "no such overload";
inline Val no_such_overload() { return Val::error(kNoSuchOverload); }

}  // namespace keles::cel
