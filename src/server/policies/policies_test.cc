// Policies at work in a server on virtual time: what they refuse, warn of, annotate and change, and
// in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/metrics.h"
#include "base/run_task.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/server.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const KindDesc& admission_kind(std::string_view kind) {
  return *find_kind("admissionregistration.k8s.io", "v1", kind);
}

struct Answer {
  Status status;
  Document object;
  std::vector<std::string> warnings;
  admission::AuditAnnotations annotations;
  std::string message() const { return status.message(); }
  const Value& operator[](std::string_view key) const { return object.root[key]; }
};

class Policies : public testing::Test {
 protected:
  SimLoop loop{7};
  SimDisk disk{loop};
  std::unique_ptr<Store> store = std::move(*open_sim_store(disk));
  std::unique_ptr<ApiServer> server;
  Context ctx = Context::root(loop);
  Context life = ctx.child();
  TaskGroup group{loop};
  Caller amy;

  virtual ApiServerOptions options() { return ApiServerOptions(); }
  void SetUp() override {
    server = std::make_unique<ApiServer>(store.get(), options());
    ASSERT_TRUE(run(server->start(ctx)).ok());
    group.spawn(server->run(life));
    amy.name = "amy";
    amy.groups = {"system:masters", "system:authenticated"};
    ASSERT_EQ(make("v1", "Namespace", "", "metadata: {name: shop, labels: {env: test}}"), "");
  }
  void TearDown() override {
    life.cancel();
    run(group.join());
    server.reset();
    EXPECT_TRUE(run(store->close(ctx)).ok());
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }
  void run(Task<void> t) { run_task(loop, detail::to_end(std::move(t))); }
  void settle() { EXPECT_TRUE(run(ctx.sleep(1s)).ok()); }

  static Document body(const KindDesc& k, std::string_view yaml) {
    auto parsed = parse_yaml(yaml);
    EXPECT_TRUE(parsed.ok()) << parsed.status().message() << yaml;
    auto decoded = decode_body(k, to_json(parsed->root), FieldValidation::kStrict);
    EXPECT_TRUE(decoded.ok()) << decoded.status().message();
    return decoded.ok() ? std::move(*decoded) : Document();
  }
  registry::WriteRequest how(Answer& a) {
    registry::WriteRequest w;
    w.user = amy.name;
    w.groups = amy.groups;
    w.warnings = &a.warnings;
    w.annotations = &a.annotations;
    return w;
  }
  Answer create(const KindDesc& k, const std::string& ns, std::string_view yaml) {
    Answer a;
    auto made = run(server->create(ctx, &amy, &k, ns, "", "", body(k, yaml), how(a)));
    a.status = made.status();
    if (made.ok()) a.object = (*made)->tree()->clone();
    return a;
  }
  std::string make(std::string_view version, std::string_view kind, const std::string& ns,
                   std::string_view yaml) {
    return create(*find_kind(version, kind), ns, yaml).message();
  }
  Answer patch(const KindDesc& k, const std::string& ns, const std::string& name,
               std::string_view yaml, const std::string& subresource = "") {
    Answer a;
    auto made = run(server->patch(ctx, &amy, &k, ns, name, subresource, PatchType::kMerge,
                                  std::move(*parse_yaml(yaml)), how(a)));
    a.status = made.status();
    if (made.ok()) a.object = (*made)->tree()->clone();
    return a;
  }
  Answer remove(const KindDesc& k, const std::string& ns, const std::string& name) {
    Answer a;
    a.status = run(server->registry().remove(ctx, &k, ns, name, {}, how(a))).status();
    return a;
  }
  Answer map(std::string_view yaml, const std::string& ns = "shop") {
    return create(*find_kind("v1", "ConfigMap"), ns, yaml);
  }
  Answer deploy(const std::string& name, int replicas, const std::string& spec = "") {
    return create(*find_kind("apps/v1", "Deployment"), "shop",
                  "{metadata: {name: " + name + "}, spec: {replicas: " + std::to_string(replicas) +
                      ", selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
                      "spec: {containers: [{name: c, image: i}]" +
                      spec + "}}}}");
  }

  static constexpr std::string_view kMaps =
      "{resourceRules: [{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: "
      "[configmaps]}]}";
  static constexpr std::string_view kNewMaps =
      "{resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: "
      "[configmaps]}]}";
  static constexpr std::string_view kDeployments =
      "{resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], "
      "resources: [deployments]}]}";

  // `spec` is what the policy says besides its constraints; `bound` likewise of the binding.
  void validating(const std::string& name, const std::string& spec,
                  std::string_view constraints = kMaps,
                  const std::string& bound = "validationActions: [Deny]") {
    put("Validating", name, spec, constraints, bound);
  }
  void mutating(const std::string& name, const std::string& spec,
                std::string_view constraints = kMaps, const std::string& bound = "") {
    put("Mutating", name,
        spec.find("reinvocationPolicy") == spec.npos ? "reinvocationPolicy: Never, " + spec : spec,
        constraints, bound);
  }

 private:
  void put(const std::string& what, const std::string& name, const std::string& spec,
           std::string_view constraints, const std::string& bound) {
    EXPECT_EQ(create(admission_kind(what + "AdmissionPolicy"), "",
                     "{metadata: {name: " + name + "}, spec: {matchConstraints: " +
                         std::string(constraints) + ", " + spec + "}}")
                  .message(),
              "");
    EXPECT_EQ(create(admission_kind(what + "AdmissionPolicyBinding"), "",
                     "{metadata: {name: " + name + "-binding}, spec: {policyName: " + name +
                         (bound.empty() ? "" : ", ") + bound + "}}")
                  .message(),
              "");
    settle();
  }
};

// --- what is refused -----------------------------------------------------------------------------

TEST_F(Policies, RefuseInUpstreamsWords) {
  validating(
      "replicas",
      "variables: [{name: count, expression: object.spec.replicas}], validations: [{expression: "
      "'variables.count > 1'}, {expression: 'namespaceObject.metadata.name == ''shop'''}]",
      kDeployments);
  const Answer refused = deploy("d", 1);
  EXPECT_EQ(
      refused.message(),
      "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'replicas' with binding "
      "'replicas-binding' denied request: failed expression: variables.count > 1");
  EXPECT_TRUE(refused.status.is(Reason::kInvalid));
  EXPECT_EQ(refused.status.code(), 422);
  const StatusDetails& details = refused.status.details();
  EXPECT_EQ(details.kind, "deployments");
  EXPECT_EQ(details.group, "apps");
  ASSERT_EQ(details.causes.size(), 1U);
  EXPECT_EQ(details.causes[0].message,
            "ValidatingAdmissionPolicy 'replicas' with binding 'replicas-binding' denied request: "
            "failed expression: variables.count > 1");
  EXPECT_EQ(deploy("d", 2).message(), "");
  EXPECT_EQ(make("apps/v1", "ReplicaSet", "shop",
                 "{metadata: {name: r}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, "
                 "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "
                 "i}]}}}}"),
            "");
  EXPECT_THAT(metrics::expose(),
              HasSubstr("apiserver_validating_admission_policy_check_total{policy=\"replicas\","
                        "policy_binding=\"replicas-binding\",error_type=\"invalid_error\","
                        "enforcement_action=\"deny\"}"));
}

struct ValidationCase {
  std::string_view validation;  // of a ConfigMap with data {a: x}
  std::string_view message;     // after "denied request: "; "" is accepted
  Reason reason = Reason::kInvalid;
  std::string_view failure_policy = "Fail";
};

TEST_F(Policies, ValidationsOneByOne) {
  const ValidationCase cases[] = {
      {"{expression: 'object.data.a == ''x'''}", ""},
      {"{expression: 'object.data.a == ''y'''}", "failed expression: object.data.a == 'y'"},
      {"{expression: 'false', message: ' nay  '}", "nay"},
      {"{expression: 'false', message: nay, reason: Forbidden}", "nay", Reason::kForbidden},
      {"{expression: 'false', reason: RequestEntityTooLarge}", "failed expression: false",
       Reason::kRequestEntityTooLarge},
      {"{expression: 'false', messageExpression: '''a is '' + object.data.a'}", "a is x"},
      {"{expression: 'false', message: plain, messageExpression: 'string(object.data.none)'}",
       "plain"},
      {"{expression: 'false', message: plain, messageExpression: '''  '''}", "plain"},
      {"{expression: 'false', message: plain, messageExpression: '\"a\\nb\"'}", "plain"},
      {"{expression: 'object.data.none == ''x'''}",
       "expression 'object.data.none == 'x'' resulted in error: no such key: none"},
      {"{expression: 'object.data.none == ''x'''}", "", Reason::kInvalid, "Ignore"},
      {"{expression: 'false'}", "failed expression: false", Reason::kInvalid, "Ignore"},
      {"{expression: 'request.operation == ''CREATE'' && request.userInfo.username == ''amy'' && "
       "request.kind.kind == ''ConfigMap'' && request.resource.resource == ''configmaps'''}",
       ""},
      {"{expression: 'oldObject == null && !has(object.metadata.labels)'}", ""},
      {"{expression: 'namespaceObject.metadata.labels.env == ''test'''}", ""},
      {"{expression: 'authorizer.group('''').resource(''pods'').check(''get'').allowed()'}", ""},
      {"{expression: 'authorizer.requestResource.check(''fly'').allowed()'}", ""},
      {"{expression: 'authorizer.serviceAccount(''shop'', "
       "''x'').group('''').resource(''pods'').check(''get'').allowed()'}",
       "failed expression: authorizer.serviceAccount('shop', "
       "'x').group('').resource('pods').check('get').allowed()"},
      {"{expression: 'lists.range(200000).all(i, i >= 0)'}",
       "expression 'lists.range(200000).all(i, i >= 0)' resulted in error: operation cancelled: "
       "actual cost limit exceeded"},
  };
  int i = 0;
  for (const ValidationCase& c : cases) {
    SCOPED_TRACE(c.validation);
    const std::string name = "p" + std::to_string(i++);
    validating(name,
               "failurePolicy: " + std::string(c.failure_policy) + ", validations: [" +
                   std::string(c.validation) + "]",
               kNewMaps);
    const Answer a = map("{metadata: {name: m}, data: {a: x}}");
    if (c.message.empty()) {
      EXPECT_EQ(a.message(), "");
    } else {
      EXPECT_EQ(a.message(), "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy '" + name +
                                 "' with binding '" + name +
                                 "-binding' denied request: " + std::string(c.message));
      EXPECT_EQ(a.status.reason(), c.reason);
    }
    EXPECT_EQ(
        remove(admission_kind("ValidatingAdmissionPolicyBinding"), "", name + "-binding").message(),
        "");
    settle();
    const Answer gone = remove(*find_kind("v1", "ConfigMap"), "shop", "m");
    EXPECT_EQ(gone.status.ok(), c.message.empty());
  }
}

// An authorizer that has to be asked, and takes its time.
class Elsewhere final : public auth::OutsideAuthorizer {
 public:
  auth::Verdict now(const Caller&, const Access&, TimePoint) const override {
    auth::Verdict v;
    v.word = auth::Verdict::Word::kAsk;
    return v;
  }
  Task<auth::Verdict> ask(Context ctx, Caller caller, Access access) override {
    (void)co_await ctx.sleep(1s);
    asked.push_back(caller.name + " " + access.verb + " " + access.resource);
    auth::Verdict v;
    v.word = access.verb == "get" ? auth::Verdict::Word::kAllow : auth::Verdict::Word::kDeny;
    co_return v;
  }
  auth::Verdict unasked() const override { return auth::Verdict(); }
  std::vector<std::string> asked;
};

class PoliciesAskOthers : public Policies {
 protected:
  std::shared_ptr<Elsewhere> elsewhere = std::make_shared<Elsewhere>();
  ApiServerOptions options() override {
    ApiServerOptions o;
    auto live = std::make_shared<auth::LivePolicy>();
    live->authorizers.store(std::make_shared<const auth::Authorizers>(
        auth::Authorizers{{auth::Mode::kRbac}, {auth::Mode::kWebhook, elsewhere}}));
    live->believed.store(std::make_shared<const auth::Believed>());
    o.auth.live = std::move(live);
    return o;
  }
  // One check that somebody outside answers.
  static std::string check(std::string_view verb) {
    return R"(authorizer.serviceAccount("shop", "x").group("").resource("pods").check(")" +
           std::string(verb) + R"(").allowed())";
  }
};

// What they say outside is waited for, whichever way the expression needs it.
TEST_F(PoliciesAskOthers, TheWholeChainAnswersTheAuthorizer) {
  validating("both",
             "validations: [{expression: '" + check("get") + " && !" + check("list") + "'}]",
             kNewMaps);
  EXPECT_EQ(map("{metadata: {name: a}}").message(), "");
  EXPECT_THAT(elsewhere->asked, testing::ElementsAre("system:serviceaccount:shop:x get pods",
                                                     "system:serviceaccount:shop:x list pods"));
  validating("none", "validations: [{expression: '!" + check("get") + "', message: it may}]",
             kNewMaps);
  EXPECT_THAT(map("{metadata: {name: b}}").message(), HasSubstr("denied request: it may"));
}

TEST_F(PoliciesAskOthers, SoDoMatchConditionsAndMutations) {
  mutating("stamp",
           "matchConditions: [{name: c, expression: '!" + check("list") +
               "'}], mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: "
               "\"add\", path: \"/data\", value: {\"may\": string(" +
               check("get") + ")}}]'}}]",
           kNewMaps);
  const Answer a = map("{metadata: {name: a}}");
  EXPECT_EQ(a.message(), "");
  EXPECT_EQ(a["data"]["may"].as_string(), "true");
}

TEST_F(Policies, AreNotAskedAboutReviews) {
  validating(
      "all", "validations: [{expression: 'false', message: nay}]",
      "{resourceRules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: "
      "['*/*']}]}");
  EXPECT_NE(map("{metadata: {name: a}}").message(), "");
  EXPECT_EQ(make("authorization.k8s.io/v1", "SelfSubjectAccessReview", "",
                 "spec: {nonResourceAttributes: {verb: get, path: /x}}"),
            "");
  EXPECT_EQ(make("authentication.k8s.io/v1", "SelfSubjectReview", "", "{}"), "");
}

TEST_F(Policies, SeeObjectsAsTheApiShowsThem) {
  validating("shape",
             "validations: [{expression: '!has(object.status.replicas) && "
             "object.metadata.creationTimestamp != '''''}, {expression: "
             "'object.kind == ''Deployment'' && object.apiVersion == ''apps/v1'''}, {expression: "
             "'size(object.spec.template.spec.containers[0].resources) == 0'}]",
             kDeployments);
  EXPECT_EQ(deploy("d", 1).message(), "");
}

TEST_F(Policies, UpdatesAndDeletions) {
  const KindDesc& maps = *find_kind("v1", "ConfigMap");
  validating("immutable",
             "validations: [{expression: 'request.operation != ''UPDATE'' || object.data == "
             "oldObject.data', message: fixed}, {expression: 'request.operation != ''DELETE'' || "
             "(object == null && !has(oldObject.data.keep))', message: kept}]");
  EXPECT_EQ(map("{metadata: {name: m}, data: {a: x}}").message(), "");
  EXPECT_THAT(patch(maps, "shop", "m", "data: {a: z}").message(),
              HasSubstr("denied request: fixed"));
  EXPECT_EQ(patch(maps, "shop", "m", "metadata: {labels: {a: b}}").message(), "");
  EXPECT_EQ(remove(maps, "shop", "m").message(), "");
  EXPECT_EQ(map("{metadata: {name: m}, data: {keep: x}}").message(), "");
  EXPECT_THAT(remove(maps, "shop", "m").message(), HasSubstr("denied request: kept"));
}

TEST_F(Policies, OnlyWhatTheyAreAbout) {
  validating("narrow", "validations: [{expression: 'false'}]",
             "{resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], "
             "resources: [configmaps]}], excludeResourceRules: [{operations: ['*'], apiGroups: "
             "[''], apiVersions: [v1], resources: [configmaps], resourceNames: [free]}], "
             "namespaceSelector: {matchLabels: {env: test}}, objectSelector: {matchExpressions: "
             "[{key: skip, operator: DoesNotExist}]}}");
  EXPECT_NE(map("{metadata: {name: a}}").message(), "");
  EXPECT_EQ(map("{metadata: {name: a}}", "default").message(), "");
  EXPECT_EQ(map("{metadata: {name: free}}").message(), "");
  EXPECT_EQ(map("{metadata: {name: b, labels: {skip: x}}}").message(), "");
  EXPECT_EQ(make("v1", "Secret", "shop", "{metadata: {name: s}}"), "");
  // Policies are not asked about policies.
  validating(
      "all", "validations: [{expression: 'false'}]",
      "{resourceRules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: "
      "['*']}]}");
  EXPECT_EQ(remove(admission_kind("ValidatingAdmissionPolicyBinding"), "", "all-binding").message(),
            "");
}

TEST_F(Policies, WithoutABindingDoNothing) {
  EXPECT_EQ(make("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "",
                 "{metadata: {name: alone}, spec: {matchConstraints: " + std::string(kMaps) +
                     ", validations: [{expression: 'false'}]}}"),
            "");
  settle();
  EXPECT_EQ(map("{metadata: {name: a}}").message(), "");
  EXPECT_EQ(make("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "",
                 "{metadata: {name: b}, spec: {policyName: alone, validationActions: [Deny], "
                 "matchResources: {namespaceSelector: {matchLabels: {env: none}}}}}"),
            "");
  settle();
  EXPECT_EQ(map("{metadata: {name: b}}").message(), "");
}

TEST_F(Policies, MatchConditionsComeFirst) {
  validating("conditional",
             "matchConditions: [{name: named, expression: 'object.metadata.name.startsWith(''a'')'}"
             ", {name: data, expression: 'object.data.x == ''1'''}], validations: [{expression: "
             "'false', message: nay}]");
  EXPECT_EQ(map("{metadata: {name: b}}").message(), "");
  EXPECT_EQ(map("{metadata: {name: a0}, data: {x: '2'}}").message(), "");
  EXPECT_THAT(map("{metadata: {name: a}, data: {x: '1'}}").message(), HasSubstr("request: nay"));
  EXPECT_THAT(map("{metadata: {name: a}}").message(),
              HasSubstr("denied request: expression 'object.data.x == '1'' resulted in error: no "
                        "such key: data"));
}

TEST_F(Policies, WarnAndAudit) {
  validating("soft",
             "validations: [{expression: 'true'}, {expression: 'false', message: 'tut <tut>'}], "
             "auditAnnotations: [{key: who, valueExpression: 'request.userInfo.username'}, {key: "
             "none, valueExpression: 'null'}]",
             kMaps, "validationActions: [Warn, Audit]");
  const Answer a = map("{metadata: {name: m}}");
  EXPECT_EQ(a.message(), "");
  EXPECT_THAT(a.warnings, ElementsAre("Validation failed for ValidatingAdmissionPolicy 'soft' with "
                                      "binding 'soft-binding': tut <tut>"));
  EXPECT_THAT(
      a.annotations,
      ElementsAre(Pair("validation.policy.admission.k8s.io/validation_failure",
                       "[{\"message\":\"tut \\u003ctut\\u003e\",\"policy\":\"soft\",\"binding\":"
                       "\"soft-binding\",\"expressionIndex\":1,\"validationActions\":[\"Warn\","
                       "\"Audit\"]}]"),
                  Pair("soft/who", "amy")));
}

TEST_F(Policies, AuditAnnotationsThatFailRefuse) {
  validating("noted", "auditAnnotations: [{key: x, valueExpression: 'string(object.data.none)'}]",
             kMaps, "validationActions: [Audit]");
  EXPECT_THAT(map("{metadata: {name: m}}").message(),
              HasSubstr("'noted-binding' denied request: expression 'string(object.data.none)' "
                        "resulted in error: no such key: data"));
}

TEST_F(Policies, CanBeSwitchedOff) {
  validating("never", "validations: [{expression: 'false'}]");
  EXPECT_FALSE(map("{metadata: {name: m}}").status.ok());
  ApiServerOptions options;
  options.admission.off.insert("ValidatingAdmissionPolicy");
  ApiServer without(store.get(), std::move(options));
  Answer a;
  const KindDesc& maps = *find_kind("v1", "ConfigMap");
  auto made = run(without.create(ctx, &amy, &maps, "shop", "", "",
                                 body(maps, "{metadata: {name: m}}"), how(a)));
  EXPECT_TRUE(made.ok()) << made.status().message();
}

// --- params --------------------------------------------------------------------------------------

TEST_F(Policies, ParamsByNameAndSelector) {
  const std::string spec =
      "paramKind: {apiVersion: v1, kind: Secret}, validations: [{expression: 'params == null || "
      "object.data.size < params.metadata.labels.max', messageExpression: '''over '' + "
      "params.metadata.labels.max'}]";
  const auto secret = [&](const std::string& name, const std::string& labels) {
    EXPECT_EQ(
        make("v1", "Secret", "shop", "{metadata: {name: " + name + ", labels: {" + labels + "}}}"),
        "");
  };
  const std::string deny = "validationActions: [Deny], paramRef: ";
  validating("named", spec, kMaps, deny + "{name: limit, parameterNotFoundAction: Deny}");
  EXPECT_THAT(map("{metadata: {name: m}, data: {size: '5'}}").message(),
              HasSubstr("'named-binding' denied request: failed to configure binding: no params "
                        "found for policy binding with `Deny` parameterNotFoundAction"));
  secret("limit", "max: '3', kind: limit");
  EXPECT_THAT(map("{metadata: {name: m}, data: {size: '5'}}").message(),
              HasSubstr("denied request: over 3"));
  EXPECT_EQ(map("{metadata: {name: m}, data: {size: '2'}}").message(), "");
  validating("selected", spec, kMaps,
             deny + "{selector: {matchLabels: {kind: limit}}, parameterNotFoundAction: Allow}");
  secret("other", "max: '1', kind: limit");
  EXPECT_THAT(map("{metadata: {name: m2}, data: {size: '2'}}").message(),
              HasSubstr("'selected-binding' denied request: over 1"));
  // Nothing of the kind there: Allow.
  EXPECT_EQ(map("{metadata: {name: o}, data: {size: '0'}}").message(), "");
}

TEST_F(Policies, ParamsOfAnotherNamespaceAndOfNone) {
  EXPECT_EQ(make("v1", "ConfigMap", "default", "{metadata: {name: rules}, data: {prefix: ok}}"),
            "");
  const std::string spec =
      "paramKind: {apiVersion: v1, kind: ConfigMap}, validations: [{expression: "
      "'object.metadata.name.startsWith(params.data.prefix)', message: name}]";
  const std::string_view namespaces =
      "{resourceRules: [{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: "
      "[secrets, nodes]}]}";
  validating("elsewhere", spec, namespaces,
             "validationActions: [Deny], paramRef: {name: rules, namespace: default, "
             "parameterNotFoundAction: Deny}");
  EXPECT_EQ(make("v1", "Secret", "shop", "{metadata: {name: ok-1}}"), "");
  EXPECT_THAT(make("v1", "Secret", "shop", "{metadata: {name: bad}}"), HasSubstr("request: name"));
  EXPECT_EQ(make("v1", "Node", "", "{metadata: {name: ok-node}}"), "");
  validating("missing", spec, namespaces,
             "validationActions: [Deny], paramRef: {name: rules, parameterNotFoundAction: Deny}");
  EXPECT_THAT(make("v1", "Node", "", "{metadata: {name: ok-node2}}"),
              HasSubstr("failed to configure binding: cannot use namespaced paramRef in policy "
                        "binding that matches cluster-scoped resources"));
}

TEST_F(Policies, ParamsOfACustomKind) {
  const std::string spec =
      "paramKind: {apiVersion: example.com/v1, kind: Limit}, validations: [{expression: "
      "'size(object.data) <= params.spec.most', messageExpression: '''at most '' + "
      "string(params.spec.most)'}]";
  validating("custom", spec, kMaps,
             "validationActions: [Deny], paramRef: {name: l, namespace: shop, "
             "parameterNotFoundAction: Deny}");
  EXPECT_THAT(map("{metadata: {name: m}, data: {a: x}}").message(),
              HasSubstr("ValidatingAdmissionPolicy 'custom' denied request: failed to configure "
                        "policy: failed to find resource referenced by paramKind: 'example.com/v1, "
                        "Kind=Limit'"));
  EXPECT_EQ(
      make("apiextensions.k8s.io/v1", "CustomResourceDefinition", "",
           "{metadata: {name: limits.example.com}, spec: {group: example.com, scope: Namespaced, "
           "names: {plural: limits, singular: limit, kind: Limit, listKind: LimitList}, versions: "
           "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, "
           "properties: {spec: {type: object, properties: {most: {type: integer}}}}}}}]}}"),
      "");
  settle();
  KindRef limits = server->kinds().current()->find_kind("example.com", "v1", "Limit");
  ASSERT_TRUE(limits);
  EXPECT_THAT(map("{metadata: {name: m}, data: {a: x}}").message(), HasSubstr("no params found"));
  EXPECT_EQ(create(*limits, "shop",
                   "{apiVersion: example.com/v1, kind: Limit, metadata: {name: l}, spec: {most: "
                   "1}}")
                .message(),
            "");
  EXPECT_EQ(map("{metadata: {name: m}, data: {a: x}}").message(), "");
  EXPECT_THAT(map("{metadata: {name: m2}, data: {a: x, b: z}}").message(), HasSubstr("at most 1"));
  // And policies about objects of a custom kind.
  validating("of-limits", "validations: [{expression: 'object.spec.most < 10', message: few}]",
             "{resourceRules: [{operations: ['*'], apiGroups: [example.com], apiVersions: ['*'], "
             "resources: [limits]}]}");
  EXPECT_THAT(patch(*limits, "shop", "l", "spec: {most: 11}").message(), HasSubstr("request: few"));
}

TEST_F(Policies, AreWrittenByThoseWhoMayReadTheirParams) {
  const std::string policy =
      "{metadata: {name: p}, spec: {matchConstraints: " + std::string(kMaps) +
      ", paramKind: {apiVersion: v1, kind: Secret}, validations: [{expression: 'true'}]}}";
  const std::string binding =
      "{metadata: {name: b}, spec: {policyName: p, validationActions: [Deny], paramRef: {name: s, "
      "namespace: shop, parameterNotFoundAction: Deny}}}";
  const KindDesc &policies = admission_kind("ValidatingAdmissionPolicy"),
                 &bindings = admission_kind("ValidatingAdmissionPolicyBinding");
  amy.groups = {"system:authenticated"};
  EXPECT_EQ(create(policies, "", policy).message(),
            "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: "
            "spec.paramKind: Forbidden: user &{amy  [system:authenticated] map[]} must have "
            "\"get\" permission on all objects of the referenced paramKind (kind=Secret, "
            "apiVersion=v1)");
  EXPECT_EQ(create(bindings, "", binding).message(),
            "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io \"b\" is invalid: "
            "spec.paramRef: Forbidden: unable to get policy p to determine minimum required "
            "permissions and user &{amy  [system:authenticated] map[]} does not have \"get\" "
            "permission for all groups, versions and resources");
  amy.groups = {"system:masters"};
  EXPECT_EQ(create(policies, "", policy).message(), "");
  EXPECT_EQ(make("rbac.authorization.k8s.io/v1", "Role", "shop",
                 "{metadata: {name: r}, rules: [{apiGroups: [''], resources: [secrets], "
                 "resourceNames: [s], verbs: [get]}]}"),
            "");
  amy.groups = {"system:authenticated"};
  EXPECT_THAT(create(bindings, "", binding).message(),
              HasSubstr("does not have \"get\" permission on the object referenced by paramRef"));
  amy.groups = {"system:masters"};
  EXPECT_EQ(make("rbac.authorization.k8s.io/v1", "RoleBinding", "shop",
                 "{metadata: {name: r}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, "
                 "name: r}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "
                 "amy}]}"),
            "");
  settle();
  amy.groups = {"system:authenticated"};
  EXPECT_EQ(create(bindings, "", binding).message(), "");
  // What it names already is not asked about again.
  EXPECT_EQ(patch(policies, "", "p", "metadata: {labels: {a: b}}").message(), "");
}

TEST_F(Policies, ConnectionsAreJudged) {
  validating("exec", "validations: [{expression: 'object.container == ''a''', message: only a}]",
             "{resourceRules: [{operations: [CONNECT], apiGroups: [''], apiVersions: [v1], "
             "resources: [pods/exec]}]}");
  const registry::Registry::Call call{find_kind("v1", "Pod"), "shop", "p", "exec",
                                      find_kind("v1", "PodExecOptions")};
  const auto connect = [&](std::string_view container) {
    Answer a;
    return run(server->connect(ctx, &amy, &call,
                               *parse_yaml("{kind: PodExecOptions, apiVersion: v1, container: " +
                                           std::string(container) + "}"),
                               how(a)))
        .message();
  };
  EXPECT_EQ(connect("a"), "");
  EXPECT_THAT(connect("b"), HasSubstr("pods \"p\" is forbidden: ValidatingAdmissionPolicy 'exec' "
                                      "with binding 'exec-binding' denied request: only a"));
}

// --- what is changed -----------------------------------------------------------------------------

std::string apply(const std::string& expression) {
  return "{patchType: ApplyConfiguration, applyConfiguration: {expression: \"" + expression +
         "\"}}";
}
std::string json_patch(const std::string& expression) {
  return "{patchType: JSONPatch, jsonPatch: {expression: \"" + expression + "\"}}";
}

TEST_F(Policies, ChangeByApplyConfiguration) {
  mutating("grow",
           "mutations: [" +
               apply("Object{metadata: Object.metadata{annotations: {'mutated-by': 'policy'}}, "
                     "spec: Object.spec{replicas: object.spec.replicas + 100, template: "
                     "Object.spec.template{spec: Object.spec.template.spec{initContainers: "
                     "[Object.spec.template.spec.initContainers{name: 'init', image: 'i'}]}}}}") +
               "]",
           kDeployments);
  const Answer a = deploy("d", 1);
  EXPECT_EQ(a.message(), "");
  EXPECT_EQ(a["metadata"]["annotations"]["mutated-by"].as_string(), "policy");
  EXPECT_EQ(a["spec"]["replicas"].as_int(), 101);
  const Value& pod = a["spec"]["template"]["spec"];
  EXPECT_EQ(pod["containers"].size(), 1U);
  EXPECT_EQ(pod["initContainers"].at(0)["name"].as_string(), "init");
  // With its defaults.
  EXPECT_EQ(pod["initContainers"].at(0)["terminationMessagePath"].as_string(),
            "/dev/termination-log");
  EXPECT_THAT(metrics::expose(),
              HasSubstr("apiserver_mutating_admission_policy_check_total{policy=\"grow\","
                        "policy_binding=\"grow-binding\",error_type=\"no_error\"}"));
}

TEST_F(Policies, ChangeByJsonPatch) {
  mutating("patch",
           "variables: [{name: v, expression: \"'x'\"}], mutations: [" +
               json_patch("[JSONPatch{op: 'test', path: '/data/a', value: 'b'}, JSONPatch{op: "
                          "'replace', path: '/data/a', value: variables.v + 'y'}, JSONPatch{op: "
                          "'add', path: '/metadata/labels', value: {'k/' + "
                          "jsonpatch.escapeKey('l'): 'v'}}]") +
               ", " + apply("Object{data: {'more': object.data.a}}") + "]");
  const Answer a = map("{metadata: {name: m}, data: {a: b}}");
  EXPECT_EQ(a.message(), "");
  EXPECT_EQ(a["data"]["a"].as_string(), "xy");
  EXPECT_EQ(a["data"]["more"].as_string(), "xy");  // the second saw what the first made
  EXPECT_EQ(a["metadata"]["labels"]["k/l"].as_string(), "v");
  // A test that fails: the patch is not made, and that is no error.
  const Answer b = map("{metadata: {name: m2}, data: {a: c}}");
  EXPECT_EQ(b["data"]["a"].as_string(), "c");
}

struct FaultCase {
  std::string mutation;
  std::string_view message;  // after "denied request: "
};

TEST_F(Policies, MutationsThatFail) {
  const FaultCase cases[] = {
      {apply("Object{spec: Object.spec{nothing: 1}}"),
       "error applying patch: failed to convert patch object to typed object: .spec.nothing: field "
       "not declared in schema"},
      {apply("Object{spec: Object.spec{replicas: 'a'}}"),
       "error applying patch: failed to convert patch object to typed object: .spec.replicas: "
       "expected numeric (int or float), got string"},
      {apply("Object{spec: Object.other{replicas: 1}}"),
       "type mismatch: unexpected type name \"Object.other\", expected \"Object.spec\", which "
       "matches field name path from root Object type"},
      {apply("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'c'}}}}"),
       "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
       "structs: .spec.selector"},
      {apply("Object{spec: Object.spec{replicas: object.spec.none}}"),
       "expression 'Object{spec: Object.spec{replicas: object.spec.none}}' resulted in error: no "
       "such key: none"},
      {json_patch("[JSONPatch{op: 'remove', path: '/spec/none'}]"),
       "JSON Patch: error in remove for path: '/spec/none': Unable to remove nonexistent key: "
       "none: "
       "missing value"},
  };
  int i = 0;
  for (const FaultCase& c : cases) {
    SCOPED_TRACE(c.mutation);
    const std::string name = "p" + std::to_string(i++);
    mutating(name, "mutations: [" + c.mutation + "]", kDeployments);
    const Answer a = deploy("d", 1);
    EXPECT_EQ(a.message(), "policy '" + name + "' with binding '" + name +
                               "-binding' denied request: " + std::string(c.message));
    EXPECT_TRUE(a.status.is(Reason::kInvalid));
    EXPECT_EQ(a.status.code(), 403);
    EXPECT_EQ(
        remove(admission_kind("MutatingAdmissionPolicyBinding"), "", name + "-binding").message(),
        "");
    settle();
  }
  mutating(
      "lax",
      "failurePolicy: Ignore, mutations: [" + apply("Object{spec: Object.spec{nothing: 1}}") + "]",
      kDeployments);
  EXPECT_EQ(deploy("d", 1).message(), "");
  mutating(
      "strict",
      "mutations: [" + json_patch("[JSONPatch{op: 'add', path: '/spec/unknown', value: 1}]") + "]",
      kDeployments);
  const Answer a = deploy("e", 1);
  EXPECT_EQ(a.status.code(), 500);
  EXPECT_THAT(a.message(), HasSubstr("unknown field \"spec.unknown\""));
}

TEST_F(Policies, AreAskedAgainWhenAnotherChangesTheObject) {
  const std::string first =
      "mutations: [" + apply("Object{data: {'count': string(has(object.data.late))}}") + "]";
  mutating("a-first", "reinvocationPolicy: IfNeeded, " + first);
  mutating("b-second", "mutations: [" + apply("Object{data: {'late': 'yes'}}") + "]");
  EXPECT_EQ(map("{metadata: {name: m}, data: {a: b}}")["data"]["count"].as_string(), "true");
  // One that wants to be asked once is.
  EXPECT_EQ(patch(admission_kind("MutatingAdmissionPolicy"), "", "a-first",
                  "spec: {reinvocationPolicy: Never}")
                .message(),
            "");
  settle();
  EXPECT_EQ(map("{metadata: {name: m2}, data: {a: b}}")["data"]["count"].as_string(), "false");
}

TEST_F(Policies, ChangeWithParamsAndConditions) {
  EXPECT_EQ(make("v1", "Secret", "shop", "{metadata: {name: p, labels: {team: red}}}"), "");
  mutating("team",
           "paramKind: {apiVersion: v1, kind: Secret}, matchConditions: [{name: c, expression: "
           "\"!has(object.metadata.labels)\"}], mutations: [" +
               apply("Object{metadata: Object.metadata{labels: {'team': "
                     "params.metadata.labels.team}}}") +
               "]",
           kMaps, "paramRef: {name: p, parameterNotFoundAction: Deny}");
  EXPECT_EQ(map("{metadata: {name: m}}")["metadata"]["labels"]["team"].as_string(), "red");
  EXPECT_EQ(
      map("{metadata: {name: m2, labels: {team: blue}}}")["metadata"]["labels"]["team"].as_string(),
      "blue");
}

TEST_F(Policies, CannotSayWhoAnObjectIs) {
  mutating("uid", "mutations: [" +
                      json_patch("[JSONPatch{op: 'replace', path: '/metadata/uid', value: 'x'}]") +
                      "]");
  const Answer a = map("{metadata: {name: m}}");
  EXPECT_EQ(a.message(), "");
  EXPECT_NE(a["metadata"]["uid"].as_string(), "x");
  mutating(
      "move",
      "mutations: [" +
          json_patch("[JSONPatch{op: 'replace', path: '/metadata/namespace', value: 'default'}]") +
          "]");
  EXPECT_FALSE(map("{metadata: {name: m3}}").status.ok());
  mutating("type",
           "mutations: [" +
               json_patch("[JSONPatch{op: 'replace', path: '/kind', value: 'Secret'}]") + "]",
           kDeployments);
  EXPECT_FALSE(deploy("d", 1).status.ok());
}

TEST_F(Policies, ChangeAScale) {
  mutating("scale", "mutations: [" + apply("Object{spec: Object.spec{replicas: 7}}") + "]",
           "{resourceRules: [{operations: [UPDATE], apiGroups: [apps], apiVersions: [v1], "
           "resources: [deployments/scale]}]}");
  EXPECT_EQ(deploy("d", 1).message(), "");
  EXPECT_EQ(patch(*find_kind("apps/v1", "Deployment"), "shop", "d", "spec: {replicas: 3}", "scale")
                .message(),
            "");
  auto now = run(server->get(ctx, find_kind("apps/v1", "Deployment"), "shop", "d", ""));
  ASSERT_TRUE(now.ok());
  EXPECT_EQ((*now)->tree()->root["spec"]["replicas"].as_int(), 7);
}

TEST_F(Policies, AnEquivalentVersionIsShownAsItWasAskedFor) {
  validating("old",
             "validations: [{expression: 'object.apiVersion == ''autoscaling/v1'' && "
             "object.spec.targetCPUUtilizationPercentage < 50 && request.requestKind.version == "
             "''v2''', message: cpu}]",
             "{matchPolicy: Equivalent, resourceRules: [{operations: ['*'], apiGroups: "
             "[autoscaling], apiVersions: [v1], resources: [horizontalpodautoscalers]}]}");
  const auto scaler = [&](const std::string& name, int percent) {
    return make(
        "autoscaling/v2", "HorizontalPodAutoscaler", "shop",
        "{metadata: {name: " + name +
            "}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: "
            "Deployment, name: d}, metrics: [{type: Resource, resource: {name: cpu, target: "
            "{type: Utilization, averageUtilization: " +
            std::to_string(percent) + "}}}]}}");
  };
  EXPECT_EQ(scaler("a", 40), "");
  EXPECT_THAT(scaler("b", 60), HasSubstr("request: cpu"));
}

}  // namespace
}  // namespace keles
