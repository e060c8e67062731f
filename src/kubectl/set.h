// What the `set` commands share: which objects they mean (of the cluster, or of files alone with
// --local), and a change of each, sent as the patch that it amounts to.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kubectl/select.h"
#include "kubectl/write.h"

namespace keles::kubectl {

class Setter {
 public:
  // `done`: "image updated"; `failed`: what stands before the server's words.
  Setter(std::string done, std::string failed)
      : done_(std::move(done)), failed_(std::move(failed)) {}
  Query query;
  Writer writer{"kubectl-set"};
  bool local = false;
  bool also_unchanged = false;  // an object that is so already is patched and shown, too
  bool bare_errors = false;     // what cannot be changed is not named in the error

  void add_to(Flags& flags, std::string files_help, bool selector = true);
  // After Invocation::parse().
  Status prepare();
  // With --local no type and name may be given.
  Status no_arguments_locally() const;
  Result<std::vector<Found>> find(Invocation& in, std::vector<Status>* errors);

  using Change = std::function<Status(Document&)>;
  Status change(Invocation& in, const Found& f, const Change& how);
  // Each of them; what fails is added to `errors`, and the rest goes on. All that they say.
  Status change_all(Invocation& in, const std::vector<Found>& found, std::vector<Status>* errors,
                    const Change& how);

 private:
  std::string done_, failed_;
};

// The pod spec that the object holds; the error for one that holds none.
Result<Value*> editable_pod_spec(Document& d);
// Its containers that a pattern with "*" names, the init containers after the others.
std::vector<Value*> select_containers(Value& pod_spec, std::string_view pattern);
bool matches_wildcard(std::string_view name, std::string_view pattern);

}  // namespace keles::kubectl
