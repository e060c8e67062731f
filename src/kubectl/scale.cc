#include "kubectl/verbs.h"
#include "kubectl/write.h"

namespace keles::kubectl {

Status scale(Invocation& in) {
  Query q;
  int64_t replicas = -1, current = -1;
  Duration timeout{0};
  std::string resource_version;
  Writer writer("kubectl");  // as the stock one, which names none here
  q.files.add_to(in.flags, "identifying the resource to set a new size");
  in.flags.add("replicas", &replicas, "The new desired number of replicas. Required.");
  in.flags.add("current-replicas", &current,
               "Precondition for current size. Requires that the current size of the resource "
               "match this value in order to scale.");
  in.flags.add("resource-version", &resource_version, "Precondition for resource version.");
  in.flags.add("timeout", &timeout,
               "The length of time to wait before giving up on a scale operation, zero means "
               "don't wait.");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  in.flags.add("all", &q.all, "Select all resources in the namespace of the specified types");
  writer.add_to(in.flags);
  TRY(in.parse());
  if (!in.flags.given("replicas")) return failure("required flag(s) \"replicas\" not set");
  if (replicas < 0) {
    return failure(
        "The --replicas=COUNT flag is required, and COUNT must be greater than or "
        "equal to 0");
  }
  TRY(writer.prepare());
  q.args = in.args;
  TRY_ASSIGN(session, in.session());
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  if (found.empty() && errors.empty()) return failure("no objects passed to scale");
  for (const Found& f : found) {
    if (current >= 0 || !resource_version.empty()) {
      TRY_ASSIGN(now, session->call(Call("GET", f.path("scale"))));
      int64_t has = now.root["spec"]["replicas"].as_int();
      std::string_view version = now.root["metadata"]["resourceVersion"].as_string();
      if (current >= 0 && has != current) {
        errors.push_back(failure("Expected replicas to be " + std::to_string(current) + ", was " +
                                 std::to_string(has)));
        continue;
      }
      if (!resource_version.empty() && version != resource_version) {
        errors.push_back(failure("Expected resource version to be " + resource_version + ", was " +
                                 std::string(version)));
        continue;
      }
    }
    if (!writer.client_only()) {
      std::string body = "{\"spec\":{\"replicas\":" + std::to_string(replicas) + "}}";
      Result<Document> made =
          writer.patch(*session, *f.resource, f.ns, f.name, PatchType::kMerge, body, "scale");
      if (!made.ok()) {
        errors.push_back(made.status());
        continue;
      }
    }
    TimePoint end = session->loop().now() + timeout;
    while (timeout.count() > 0 && !writer.dry()) {
      TRY_ASSIGN(now, session->call(Call("GET", f.path("scale"))));
      if (now.root["status"]["replicas"].as_int() == replicas) break;
      if (session->loop().now() >= end) {
        errors.push_back(failure("timed out waiting for \"" + f.name + "\" to be synced"));
        break;
      }
      session->sleep(100ms);
    }
    TRY(writer.report(f.object.root, "scaled"));
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
