#include <cstdio>

#include "kubectl/session.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

struct Target {
  const KindDesc* kind;
  std::string ns, name;
};

Task<Status> await_gone(Context ctx, Session* session, Target t) {
  for (;;) {
    Result<Document> r = co_await session->request(
        ctx, "GET", HttpsClient::path_of(*t.kind, t.ns, t.name), "", "", "");
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (!r.ok()) co_return r.status();
    Status s = co_await ctx.sleep(200ms);
    if (!s.ok()) co_return s;
  }
}

Result<std::vector<Target>> targets_of(const Args& words, const std::string& ns) {
  std::vector<Target> out;
  if (words.size() == 1 && words[0].find('/') == std::string::npos) {
    return Status::bad_request("resource(s) were provided, but no name was specified");
  }
  const KindDesc* kind = nullptr;
  for (size_t i = 0; i < words.size(); ++i) {
    auto slash = words[i].find('/');
    if (slash != std::string::npos) {
      TRY_ASSIGN(k, find_resource_type(words[i].substr(0, slash)));
      out.push_back({k, k->namespaced ? ns : "", words[i].substr(slash + 1)});
    } else if (!kind) {
      TRY_ASSIGN(k, find_resource_type(words[i]));
      kind = k;
    } else {
      out.push_back({kind, kind->namespaced ? ns : "", words[i]});
    }
  }
  return out;
}

}  // namespace

Task<Status> remove(Context ctx, Args args) {
  CommonFlags common;
  std::vector<std::string> files;
  bool ignore_not_found = false, wait = true;
  Flags flags("Usage:\n  keles kubectl delete (-f FILENAME | TYPE NAME | TYPE/NAME)");
  flags.add("filename", &files, "containing the resource to delete.", 'f');
  flags.add("ignore-not-found", &ignore_not_found,
            "Treat \"resource not found\" as a successful delete.");
  flags.add("wait", &wait, "If true, wait for resources to be gone before returning.");
  common.add_to(flags);
  Result<Args> rest = flags.parse(args);
  if (!rest.ok()) co_return rest.status();
  if (flags.help_wanted()) {
    std::fputs(flags.help_text().c_str(), stdout);
    co_return Status();
  }
  Result<std::unique_ptr<Session>> session = Session::open(ctx.loop(), common);
  if (!session.ok()) co_return session.status();
  std::vector<Target> targets;
  if (!files.empty()) {
    Result<std::vector<Input>> objects = read_objects(files, (*session)->ns());
    if (!objects.ok()) co_return objects.status();
    for (const Input& in : *objects) targets.push_back({in.kind, in.ns, in.name});
  } else {
    Result<std::vector<Target>> named = targets_of(*rest, (*session)->ns());
    if (!named.ok()) co_return named.status();
    targets = std::move(*named);
  }
  if (targets.empty())
    co_return Status::bad_request("must specify one of -f, or a resource and its name");
  Status first;
  for (const Target& t : targets) {
    Result<Document> r = co_await (*session)->request(
        ctx, "DELETE", HttpsClient::path_of(*t.kind, t.ns, t.name), "", "application/json",
        "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"propagationPolicy\":\"Background\"}");
    Status s = r.status();
    if (ignore_not_found && s.is(Reason::kNotFound)) continue;
    if (s.ok()) {
      std::string type = display_name(*t.kind, "");
      type.pop_back();  // the slash
      std::printf("%s \"%s\" deleted\n", type.c_str(), t.name.c_str());
      std::fflush(stdout);
      if (wait) s = co_await await_gone(ctx, session->get(), t);
    }
    if (!s.ok() && first.ok()) first = s;
  }
  co_return first;
}

}  // namespace keles::kubectl
