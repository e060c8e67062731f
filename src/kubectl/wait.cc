#include <cstdio>

#include "kubectl/session.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

bool condition_holds(const Value& object, std::string_view type, std::string_view status) {
  for (const Value& c : object["status"]["conditions"].items()) {
    if (c["type"].as_string() == type && c["status"].as_string() == status) {
      int64_t seen = object["status"]["observedGeneration"].as_int();
      return seen == 0 || seen >= object["metadata"]["generation"].as_int();
    }
  }
  return false;
}

}  // namespace

Task<Status> wait(Context ctx, Args args) {
  CommonFlags common;
  std::string what;
  Duration timeout = 30s;
  Flags flags("Usage:\n  keles kubectl wait TYPE/NAME --for=condition=TYPE[=STATUS]|delete");
  flags.add("for", &what,
            "The condition to wait on: [delete|condition=condition-name[=condition-value]]");
  flags.add("timeout", &timeout, "The length of time to wait before giving up.");
  common.add_to(flags);
  Result<Args> rest = flags.parse(args);
  if (!rest.ok()) co_return rest.status();
  if (flags.help_wanted()) {
    std::fputs(flags.help_text().c_str(), stdout);
    co_return Status();
  }
  std::string word, name;
  if (rest->size() == 2) {
    word = (*rest)[0];
    name = (*rest)[1];
  } else if (rest->size() == 1 && (*rest)[0].find('/') != std::string::npos) {
    word = (*rest)[0].substr(0, (*rest)[0].find('/'));
    name = (*rest)[0].substr(word.size() + 1);
  } else {
    co_return Status::bad_request("name one resource, as TYPE/NAME");
  }
  bool gone = what == "delete";
  std::string type, value = "True";
  if (!gone) {
    if (!what.starts_with("condition=")) {
      co_return Status::bad_request("unrecognized condition: \"" + what + "\"");
    }
    type = what.substr(10);
    if (auto eq = type.find('='); eq != std::string::npos) {
      value = type.substr(eq + 1);
      type = type.substr(0, eq);
    }
  }
  Result<const KindDesc*> kind = find_resource_type(word);
  if (!kind.ok()) co_return kind.status();
  Result<std::unique_ptr<Session>> session = Session::open(ctx.loop(), common);
  if (!session.ok()) co_return session.status();
  std::string path =
      HttpsClient::path_of(**kind, (*kind)->namespaced ? (*session)->ns() : "", name);
  std::string shown = display_name(**kind, name);
  Context limited = ctx.with_timeout(timeout);
  for (;;) {
    Result<Document> r = co_await (*session)->request(limited, "GET", path, "", "", "");
    if (gone && r.status().is(Reason::kNotFound)) break;
    if (!r.ok() && !limited.done()) co_return r.status();
    if (r.ok() && !gone && condition_holds(r->root, type, value)) break;
    Status s = co_await limited.sleep(100ms);
    if (!s.ok()) {
      co_return Status::timeout("timed out waiting for the condition on " +
                                std::string((*kind)->plural) + "/" + name);
    }
  }
  std::printf("%s condition met\n", shown.c_str());
  co_return Status();
}

}  // namespace keles::kubectl
