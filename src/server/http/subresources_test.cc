// Every subresource of every kind, by every method: which are there, and what they change.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "server/http/least_bodies.h"
#include "server/http/served_api.h"
#include "server/objects/meta.h"

namespace keles::server {
namespace {

constexpr std::string_view kMerge = "application/merge-patch+json";

bool lists(std::span<const std::string_view> verbs, std::string_view verb) {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

struct Subresources : ServedApi {
  std::unique_ptr<net::HttpClient> client = connect(admin());
  std::map<std::string, std::string> bodies;

  Subresources() {
    net::CertificateSpec spec;
    spec.common_name = "jane";
    spec.not_before = loop->wall_now();
    spec.not_after = loop->wall_now() + 24h;
    bodies = least_bodies(base64_encode(*net::make_csr(net::make_ca(spec)->key_pem, spec)));
    make("/api/v1/namespaces/default/serviceaccounts", R"({"metadata":{"name":"default"}})");
  }
  net::Response send(std::string method, const std::string& target, std::string body = "",
                     std::string_view type = "application/json") {
    net::Headers h;
    if (!body.empty()) h.add("Content-Type", std::string(type));
    return ServedApi::send(client.get(),
                           request(std::move(method), target, std::move(body), std::move(h)));
  }
  Document tree(const net::Response& r) {
    auto d = parse_json(r.body);
    EXPECT_TRUE(d.ok()) << r.status << " " << r.body;
    return d.ok() ? std::move(*d) : Document();
  }
  Document get(const std::string& target) { return tree(send("GET", target)); }
  Document make(const std::string& target, std::string body) {
    auto r = send("POST", target, std::move(body));
    EXPECT_EQ(r.status, 201) << target << " " << r.body;
    return tree(r);
  }
  static std::string home(const KindDesc& k) {
    std::string out = k.group.empty() ? "/api/" : "/apis/" + std::string(k.group) + "/";
    out += std::string(k.version) + "/";
    if (k.namespaced) out += "namespaces/default/";
    return out + std::string(k.plural);
  }
};

// A method is refused with 405 just where the description has no such verb; whatever else happens
// to the others (there is no such object), they are there.
TEST(Subresources, MethodsAreThoseDescribed) {
  Subresources s;
  const std::pair<const char*, std::string_view> kMethods[] = {
      {"GET", "get"},       {"PUT", "update"}, {"PATCH", "patch"}, {"POST", "create"},
      {"DELETE", "delete"}, {"HEAD", ""},      {"OPTIONS", ""}};
  size_t asked = 0;
  for (const KindDesc* k : all_kinds()) {
    for (const SubresourceDesc& sub : k->subresources) {
      // What a kubelet or a pod answers takes every method, or is begun by GET and POST.
      const bool any = sub.name == "proxy";
      const std::string target =
          Subresources::home(*k) + "/" + least_name(*k) + "/" + std::string(sub.name);
      for (auto [method, verb] : kMethods) {
        const bool served = any || lists(sub.verbs, verb);
        auto r = s.send(method, target, verb == "patch" ? "{}" : "", kMerge);
        EXPECT_EQ(r.status == 405, !served) << method << " " << target << " " << r.status;
        ++asked;
      }
    }
  }
  EXPECT_GT(asked, 300U);
}

struct StatusRow {
  const char* status;
  // Whose metadata a write of the status changes: most kinds'.
  enum { kSent, kSentButLabels, kStored } metadata = kSent;
};

const std::map<std::string, StatusRow>& status_rows() {
  static const char* const kCondition =
      R"({"conditions":[{"type":"Ready","status":"True","reason":"R","message":"m",)"
      R"("lastTransitionTime":"2024-01-01T00:00:00Z"}]})";
  static const std::map<std::string, StatusRow> kRows{
      {"APIService",
       {R"({"conditions":[{"type":"Available","status":"False","reason":"R","message":"m",)"
        R"("lastTransitionTime":"2024-01-01T00:00:00Z"}]})",
        StatusRow::kStored}},
      {"CertificateSigningRequest",
       {R"({"conditions":[{"type":"Failed","status":"True","reason":"R","message":"m",)"
        R"("lastTransitionTime":"2024-01-01T00:00:00Z","lastUpdateTime":"2024-01-01T00:00:00Z"}]})"}},
      {"CronJob", {R"({"lastScheduleTime":"2024-01-01T00:00:00Z"})"}},
      {"CustomResourceDefinition", {R"({"storedVersions":["v1"]})"}},
      {"DaemonSet",
       {R"({"currentNumberScheduled":2,"desiredNumberScheduled":2,"numberMisscheduled":0,)"
        R"("numberReady":1})"}},
      {"Deployment", {R"({"replicas":2,"updatedReplicas":1})", StatusRow::kSentButLabels}},
      {"FlowSchema", {kCondition, StatusRow::kStored}},
      {"HorizontalPodAutoscaler", {R"({"currentReplicas":1,"desiredReplicas":2})"}},
      {"Ingress", {R"({"loadBalancer":{"ingress":[{"ip":"10.1.2.3"}]}})"}},
      {"Job", {R"({"active":1})"}},
      {"Namespace", {R"({"phase":"Active"})"}},
      {"Node", {R"({"capacity":{"cpu":"3"}})"}},
      {"PersistentVolume", {R"({"phase":"Available"})"}},
      {"PersistentVolumeClaim", {R"({"phase":"Pending"})"}},
      {"Pod", {R"({"phase":"Running","message":"m"})"}},
      {"PodDisruptionBudget",
       {R"({"currentHealthy":1,"desiredHealthy":1,"disruptionsAllowed":0,"expectedPods":1})"}},
      {"PriorityLevelConfiguration", {kCondition, StatusRow::kStored}},
      {"ReplicaSet", {R"({"replicas":2})"}},
      {"ReplicationController", {R"({"replicas":2})"}},
      {"ResourceClaim", {R"({})", StatusRow::kStored}},
      {"ResourceQuota", {R"({"hard":{"pods":"5"},"used":{"pods":"1"}})"}},
      {"Service", {kCondition}},
      {"ServiceCIDR", {kCondition, StatusRow::kStored}},
      {"StatefulSet", {R"({"replicas":2})"}},
      {"ValidatingAdmissionPolicy", {R"({"observedGeneration":1})", StatusRow::kStored}},
      {"VolumeAttachment", {R"({"attached":true})", StatusRow::kStored}},
  };
  return kRows;
}

// Everything that `wanted` says is in `has`.
bool holds(const Value& has, const Value& wanted) {
  if (wanted.is_map()) {
    return std::all_of(wanted.members().begin(), wanted.members().end(),
                       [&](const Member& m) { return holds(has[m.key()], m.value); });
  }
  return has.equals(wanted);
}

// A write to the status changes the status, and of the rest at most metadata; one to the object
// changes all but the status.
TEST(Subresources, StatusAndTheRestAreApart) {
  Subresources s;
  std::set<std::string> seen;
  for (const KindDesc* k : all_kinds()) {
    if (!k->subresource("status")) continue;
    const std::string kind(k->kind);
    SCOPED_TRACE(std::string(k->api_version()) + " " + kind);
    ASSERT_TRUE(status_rows().count(kind));
    const StatusRow& row = status_rows().at(kind);
    seen.insert(kind);
    const Document wanted = std::move(*parse_json(row.status));
    const std::string one = Subresources::home(*k) + "/" + least_name(*k), status = one + "/status";
    s.make(Subresources::home(*k), least_object(s.bodies, *k));
    Document before = s.get(one);
    EXPECT_TRUE(s.get(status).root.equals(before.root));

    Document sent = before.clone();
    sent.root.erase("spec");
    sent.root.set(sent.arena, "status", deep_copy(sent.arena, wanted.root));
    for (std::string_view field : {"labels", "annotations"}) {
      registry::set_text(sent, registry::edit_map(sent, registry::edit_metadata(sent), field),
                         "example.com/sent", "yes");
    }
    auto dry = s.send("PUT", status + "?dryRun=All", to_json(sent.root));
    EXPECT_EQ(dry.status, 200) << dry.body;
    EXPECT_TRUE(s.get(one).root.equals(before.root)) << "a dry run leaves nothing";
    auto put = s.send("PUT", status, to_json(sent.root));
    ASSERT_EQ(put.status, 200) << put.body;
    Document after = s.get(one);
    EXPECT_TRUE(holds(after.root["status"], wanted.root)) << to_json(after.root);
    EXPECT_TRUE(after.root["spec"].equals(before.root["spec"])) << to_json(after.root);
    EXPECT_TRUE(after.root["metadata"]["generation"].equals(before.root["metadata"]["generation"]));
    auto taken = [&](std::string_view field) {
      return after.root["metadata"][field]["example.com/sent"].as_string() == "yes";
    };
    EXPECT_EQ(taken("labels"), row.metadata == StatusRow::kSent);
    EXPECT_EQ(taken("annotations"), row.metadata != StatusRow::kStored);

    // To the object itself: the status stays, whatever is sent.
    auto patched =
        s.send("PATCH", one, R"({"metadata":{"labels":{"a":"b"}},"status":null})", kMerge);
    EXPECT_EQ(patched.status, 200) << patched.body;
    Document last = s.get(one);
    EXPECT_TRUE(last.root["status"].equals(after.root["status"])) << to_json(last.root);
    EXPECT_EQ(last.root["metadata"]["labels"]["a"].as_string(), "b");
    auto by_patch = s.send("PATCH", status,
                           R"({"spec":null,"status":)" + std::string(row.status) + "}", kMerge);
    EXPECT_EQ(by_patch.status, 200) << by_patch.body;
    EXPECT_TRUE(s.get(one).root["spec"].equals(before.root["spec"]));
    s.send("DELETE", one + "?gracePeriodSeconds=0");
  }
  EXPECT_EQ(seen.size(), status_rows().size());
}

TEST(Subresources, ScaleIsTheParentsReplicas) {
  Subresources s;
  size_t kinds = 0;
  for (const KindDesc* k : all_kinds()) {
    if (!k->subresource("scale")) continue;
    SCOPED_TRACE(std::string(k->kind));
    ++kinds;
    const std::string one = Subresources::home(*k) + "/every", scale = one + "/scale";
    s.make(Subresources::home(*k), least_object(s.bodies, *k));
    Document now = s.get(scale);
    EXPECT_EQ(now.root["kind"].as_string(), "Scale");
    EXPECT_EQ(now.root["apiVersion"].as_string(), "autoscaling/v1");
    EXPECT_EQ(now.root["spec"]["replicas"].as_int(), 1);
    EXPECT_EQ(now.root["status"]["selector"].as_string(), "a=b");
    auto replicas = [&] { return s.get(one).root["spec"]["replicas"].as_int(); };
    auto put = s.send("PUT", scale, R"({"metadata":{"name":"every"},"spec":{"replicas":5}})");
    EXPECT_EQ(put.status, 200) << put.body;
    EXPECT_EQ(s.tree(put).root["spec"]["replicas"].as_int(), 5);
    EXPECT_EQ(replicas(), 5);
    EXPECT_EQ(s.send("PATCH", scale, R"({"spec":{"replicas":2}})", kMerge).status, 200);
    EXPECT_EQ(replicas(), 2);
    EXPECT_EQ(s.send("PATCH", scale, R"([{"op":"replace","path":"/spec/replicas","value":3}])",
                     "application/json-patch+json")
                  .status,
              200);
    EXPECT_EQ(replicas(), 3);
    EXPECT_EQ(s.send("PATCH", scale + "?dryRun=All", R"({"spec":{"replicas":9}})", kMerge).status,
              200);
    EXPECT_EQ(replicas(), 3);
    const char* kOld =
        R"({"metadata":{"name":"every","resourceVersion":"1"},"spec":{"replicas":9}})";
    EXPECT_EQ(s.send("PUT", scale, kOld).status, 409);
    auto bad = s.send("PATCH", scale, R"({"spec":{"replicas":-1}})", kMerge);
    EXPECT_EQ(bad.status, 422) << bad.body;
    EXPECT_EQ(s.send("PUT", scale, R"({"spec":{"replicas":9}})").status, 400) << "without a name";
    EXPECT_EQ(replicas(), 3);
    net::Headers table{{"Accept", "application/json;as=Table;g=meta.k8s.io;v=v1"}};
    Document row = s.tree(static_cast<ServedApi&>(s).send(
        s.client.get(), ServedApi::request("GET", scale, "", table)));
    EXPECT_EQ(to_json(row.root["rows"].at(0)["cells"]).substr(0, 13), R"(["every",3,0,)");
    auto absent = s.send("GET", Subresources::home(*k) + "/none/scale");
    EXPECT_EQ(absent.status, 404);
  }
  EXPECT_EQ(kinds, 4U);
}

// Those that only one kind has: what is sent, the answer's code, and what the object is afterwards.
TEST(Subresources, OfOneKind) {
  Subresources s;
  const KindDesc& pod = *find_kind("", "v1", "Pod");
  const KindDesc& request = *find_kind("certificates.k8s.io", "v1", "CertificateSigningRequest");
  s.make(Subresources::home(pod), least_object(s.bodies, pod));
  s.make(Subresources::home(request), least_object(s.bodies, request));
  s.make("/api/v1/namespaces", R"({"metadata":{"name":"n"}})");
  s.make("/api/v1/nodes", R"({"metadata":{"name":"n"}})");
  const std::string pods = Subresources::home(pod) + "/every";
  const std::string requests = Subresources::home(request) + "/every";
  struct Row {
    const char* method;
    std::string object;
    const char *sub, *type, *body;
    int code;
    const char *path, *value;  // of the object afterwards: dotted, and as JSON
  };
  const Row kRows[] = {
      {"PATCH", pods, "/ephemeralcontainers", "application/strategic-merge-patch+json",
       R"({"metadata":{"labels":{"x":"y"}},"spec":{"ephemeralContainers":[{"name":"d","image":"i"}],)"
       R"("nodeName":"other"}})",
       200, "spec.ephemeralContainers.0.name", R"("d")"},
      {"PATCH", pods, "/ephemeralcontainers", "application/strategic-merge-patch+json",
       R"({"metadata":{"labels":{"x":"y"}}})", 200, "metadata.labels", "null"},
      {"PATCH", pods, "/resize", "application/strategic-merge-patch+json",
       R"({"metadata":{"labels":{"x":"y"}},"spec":{"nodeName":"other"}})", 200, "spec.nodeName",
       "null"},
      {"POST", pods, "/binding", "application/json",
       R"({"metadata":{"name":"every","labels":{"zone":"z"}},"target":{"kind":"Node","name":"n"}})",
       201, "spec.nodeName", R"("n")"},
      {"POST", pods, "/binding", "application/json",
       R"({"metadata":{"name":"every"},"target":{"kind":"Node","name":"n"}})", 409,
       "metadata.labels.zone", R"("z")"},
      {"POST", pods, "/binding?dryRun=Some", "application/json", "{}", 422, "spec.nodeName",
       R"("n")"},
      {"POST", pods, "/eviction?dryRun=All", "application/json",
       R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"every"}})", 201,
       "metadata.deletionTimestamp", "null"},
      {"POST", pods, "/eviction", "application/json", R"({"metadata":{"name":"other"}})", 400,
       "metadata.deletionTimestamp", "null"},
      {"PATCH", requests, "/approval", "application/merge-patch+json",
       R"({"metadata":{"labels":{"x":"y"}},"spec":{"signerName":"example.com/other"},"status":)"
       R"({"certificate":"eA==","conditions":[{"type":"Approved","status":"True","reason":"R",)"
       R"("message":"m"}]}})",
       200, "status.conditions.0.type", R"("Approved")"},
      {"PATCH", requests, "/approval", "application/merge-patch+json", "{}", 200,
       "metadata.labels.x", R"("y")"},
      {"PATCH", requests, "/approval", "application/merge-patch+json", "{}", 200,
       "status.certificate", "null"},
      {"PATCH", requests, "/approval", "application/merge-patch+json", "{}", 200, "spec.signerName",
       R"("kubernetes.io/kube-apiserver-client")"},
      {"PUT", "/api/v1/namespaces/n", "/finalize", "application/json",
       R"({"metadata":{"name":"n","labels":{"x":"y"}},"spec":{"finalizers":["example.com/f"]},)"
       R"("status":{"phase":"Terminating"}})",
       200, "spec.finalizers", R"(["example.com/f"])"},
      {"PUT", "/api/v1/namespaces/n", "/finalize", "application/json",
       R"({"metadata":{"name":"n","labels":{"x":"y"}},"spec":{"finalizers":["example.com/f"]}})",
       200, "metadata.labels.x", R"("y")"},
      {"PUT", "/api/v1/namespaces/n", "/finalize", "application/json",
       R"({"metadata":{"name":"n","labels":{"x":"y"}},"spec":{"finalizers":["example.com/f"]}})",
       200, "status.phase", R"("Active")"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(row.method) + " " + row.object + row.sub + " " + row.body);
    auto r = s.send(row.method, row.object + row.sub, row.body, row.type);
    EXPECT_EQ(r.status, row.code) << r.body;
    Document now = s.get(row.object);
    const Value* at = &now.root;
    std::string_view path = row.path;
    while (!path.empty()) {
      const std::string_view key = path.substr(0, path.find('.'));
      path.remove_prefix(std::min(key.size() + 1, path.size()));
      at = key == "0" ? &at->at(0) : &(*at)[key];
    }
    EXPECT_EQ(to_json(*at), row.value) << to_json(now.root);
  }
}

}  // namespace
}  // namespace keles::server
