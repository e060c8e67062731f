// Rules, selectors and conditions as tables: a configuration, a request, the outcome.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "machinery/codec_json.h"
#include "server/matching/conditions.h"
#include "server/matching/match.h"
#include "server/objects/keys.h"

namespace keles::matching {
namespace {

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text << ": " << d.status().to_string();
  return d.ok() ? std::move(*d) : Document();
}

class Namespaces final : public StoreSnapshot {
 public:
  void add(std::string_view name, std::string_view labels) {
    const KindDesc* kind = find_kind("", "v1", "Namespace");
    Document d = json(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")" +
                      std::string(name) + R"(","labels":)" + std::string(labels) + "}}");
    all_[registry::object_key(*kind, "", name)] = Object::from_document(*kind, std::move(d));
  }
  int64_t revision() const override { return 1; }
  ObjectPtr get(std::string_view key) const override {
    const auto at = all_.find(key);
    return at == all_.end() ? nullptr : at->second;
  }
  void scan(std::string_view, std::string_view,
            const std::function<bool(std::string_view, const ObjectPtr&)>&) const override {}
  size_t count(std::string_view) const override { return all_.size(); }
  std::vector<UnreadableRecord> unreadable(std::string_view) const override { return {}; }

 private:
  std::map<std::string, ObjectPtr, std::less<>> all_;
};

const KindDesc* resource(std::string_view group, std::string_view version, std::string_view name) {
  const KindDesc* k = find_resource(group, version, name);
  EXPECT_NE(k, nullptr) << name;
  return k;
}

// A webhook that selects everything, with these rules.
std::string hook(std::string_view rule, std::string_view more = "") {
  return R"({"namespaceSelector":{},"objectSelector":{},"rules":[)" + std::string(rule) + "]" +
         std::string(more) + "}";
}

constexpr std::string_view kEquivalent = R"(,"matchPolicy":"Equivalent")";

struct RuleCase {
  std::string_view rule;
  std::string_view group, version, plural, sub, ns, operation;
  bool matches;
};

TEST(Matching, Rules) {
  constexpr std::string_view kPods =
      R"({"operations":["CREATE","UPDATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]})";
  constexpr std::string_view kAll =
      R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]})";
  constexpr std::string_view kNoSub =
      R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"]})";
  constexpr std::string_view kSub =
      R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/scale","pods/*"]})";
  constexpr std::string_view kCluster =
      R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"],"scope":"Cluster"})";
  constexpr std::string_view kNamespaced =
      R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"],"scope":"Namespaced"})";
  const RuleCase cases[] = {
      {kPods, "", "v1", "pods", "", "a", "CREATE", true},
      {kPods, "", "v1", "pods", "", "a", "DELETE", false},
      {kPods, "", "v1", "pods", "status", "a", "UPDATE", false},
      {kPods, "", "v1", "services", "", "a", "CREATE", false},
      {kAll, "", "v1", "pods", "exec", "a", "CONNECT", true},
      {kAll, "apps", "v1", "deployments", "", "a", "CREATE", true},
      {kNoSub, "", "v1", "pods", "exec", "a", "CONNECT", false},
      {kNoSub, "", "v1", "nodes", "", "", "CREATE", true},
      {kSub, "apps", "v1", "deployments", "scale", "a", "UPDATE", true},
      {kSub, "", "v1", "pods", "exec", "a", "CONNECT", true},
      // Upstream's: a sub-resource of "*" is none as well.
      {kSub, "", "v1", "pods", "", "a", "CREATE", true},
      {kSub, "", "v1", "services", "", "a", "CREATE", false},
      {kCluster, "", "v1", "nodes", "", "", "CREATE", true},
      {kCluster, "", "v1", "namespaces", "", "a", "CREATE", true},
      {kCluster, "", "v1", "pods", "", "a", "CREATE", false},
      {kNamespaced, "", "v1", "pods", "", "a", "CREATE", true},
      {kNamespaced, "", "v1", "namespaces", "", "a", "CREATE", false},
  };
  for (const RuleCase& c : cases) {
    SCOPED_TRACE(std::string(c.rule) + " " + std::string(c.plural) + "/" + std::string(c.sub));
    Request r;
    r.operation = c.operation;
    r.resource = resource(c.group, c.version, c.plural);
    r.subresource = c.sub;
    r.namespace_ = c.ns;
    const Document d = json(hook(c.rule));
    const Criteria criteria = Criteria::of_webhook(d.root);
    auto match = criteria.match(r);
    if (c.matches) {
      // Selectors choose everything: nothing is looked up.
      ASSERT_TRUE(match.ok()) << match.status().to_string();
    }
    EXPECT_EQ(match.ok() && match->has_value(), c.matches);
    EXPECT_EQ(criteria.may_concern(r), c.matches);
  }
}

TEST(Matching, EquivalentResources) {
  constexpr std::string_view kRule =
      R"({"operations":["CREATE"],"apiGroups":["events.k8s.io"],"apiVersions":["v1"],"resources":["events"]})";
  Request r;
  r.operation = "CREATE";
  r.resource = resource("", "v1", "events");
  r.namespace_ = "a";
  const Document exact = json(hook(kRule, R"(,"matchPolicy":"Exact")"));
  auto none = Criteria::of_webhook(exact.root).match(r);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  const Document equivalent = json(hook(kRule, kEquivalent));
  auto match = Criteria::of_webhook(equivalent.root).match(r);
  ASSERT_TRUE(match.ok() && match->has_value());
  EXPECT_EQ((*match)->resource, resource("events.k8s.io", "v1", "events"));
  EXPECT_EQ((*match)->kind, (GroupVersionKind{"events.k8s.io", "v1", "Event"}));

  Arena a;
  const Value shown = request_value(a, r, *(*match)->resource);
  EXPECT_EQ(shown["resource"]["group"].as_string(), "events.k8s.io");
  EXPECT_EQ(shown["requestResource"]["group"].as_string(), "");
  EXPECT_EQ(shown["requestKind"]["kind"].as_string(), "Event");
}

TEST(Matching, KindsOfBodies) {
  const KindDesc& deployments = *resource("apps", "v1", "deployments");
  const KindDesc& pods = *resource("", "v1", "pods");
  EXPECT_EQ(body_kind(deployments, "scale"), (GroupVersionKind{"autoscaling", "v1", "Scale"}));
  EXPECT_EQ(body_kind(deployments, "status"), (GroupVersionKind{"apps", "v1", "Deployment"}));
  EXPECT_EQ(body_kind(pods, "exec"), (GroupVersionKind{"", "v1", "PodExecOptions"}));
  EXPECT_EQ(body_kind(pods, "eviction"), (GroupVersionKind{"policy", "v1", "Eviction"}));
  EXPECT_TRUE(is_exempt(
      *resource("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")));
  EXPECT_FALSE(is_exempt(pods));
}

constexpr std::string_view kAnything =
    R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]})";

TEST(Matching, NamespaceSelectors) {
  Namespaces state;
  state.add("on", R"({"hook":"yes"})");
  state.add("off", "{}");
  const Document d =
      json(R"({"namespaceSelector":{"matchLabels":{"hook":"yes"}},"objectSelector":{},"rules":[)" +
           std::string(kAnything) + "]}");
  const Criteria criteria = Criteria::of_webhook(d.root);
  Request r;
  r.operation = "UPDATE";
  r.resource = resource("", "v1", "pods");
  r.state = &state;
  const auto outcome = [&](std::string_view ns) {
    r.namespace_ = ns;
    auto m = criteria.match(r);
    return m.ok() ? std::string(m->has_value() ? "yes" : "no") : m.status().message();
  };
  EXPECT_EQ(outcome("on"), "yes");
  EXPECT_EQ(outcome("off"), "no");
  EXPECT_EQ(outcome("gone"), "namespaces \"gone\" not found");
  EXPECT_EQ(outcome(""), "yes");  // what is in no namespace

  // A namespace that is written is asked for its new labels, one that is deleted for its own.
  r.resource = resource("", "v1", "namespaces");
  const Document on = json(R"({"metadata":{"name":"off","labels":{"hook":"yes"}}})");
  r.object = &on.root;
  EXPECT_EQ(outcome("off"), "yes");
  r.operation = "DELETE";
  r.object = nullptr;
  EXPECT_EQ(outcome("off"), "no");
  EXPECT_EQ(outcome("on"), "yes");
}

TEST(Matching, ObjectSelectors) {
  const Document d =
      json(R"({"namespaceSelector":{},"objectSelector":{"matchLabels":{"a":"b"}},"rules":[)" +
           std::string(kAnything) + "]}");
  const Criteria criteria = Criteria::of_webhook(d.root);
  const Document with = json(R"({"metadata":{"labels":{"a":"b"}}})");
  const Document without = json(R"({"metadata":{}})");
  Request r;
  r.operation = "UPDATE";
  r.resource = resource("", "v1", "pods");
  r.namespace_ = "x";
  const auto outcome = [&](const Value* now, const Value* before) {
    r.object = now;
    r.old_object = before;
    auto m = criteria.match(r);
    return m.ok() && m->has_value();
  };
  EXPECT_TRUE(outcome(&with.root, &without.root));
  EXPECT_TRUE(outcome(&without.root, &with.root));  // a label cannot be taken off unseen
  EXPECT_TRUE(outcome(nullptr, &with.root));
  EXPECT_FALSE(outcome(&without.root, &without.root));
  EXPECT_FALSE(outcome(nullptr, nullptr));
}

TEST(Matching, ASelectorThatIsBrokenHarmsOnlyWhatTheRulesChoose) {
  const Document d = json(
      R"({"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"Odd"}]},"objectSelector":{},
          "rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]})");
  const Criteria criteria = Criteria::of_webhook(d.root);
  Request r;
  r.operation = "CREATE";
  r.namespace_ = "x";
  r.resource = resource("", "v1", "pods");
  auto m = criteria.match(r);
  ASSERT_FALSE(m.ok());
  EXPECT_EQ(m.status().code(), 500);
  r.resource = resource("", "v1", "services");
  m = criteria.match(r);
  EXPECT_TRUE(m.ok() && !m->has_value());
}

TEST(Matching, PoliciesExcludeAndName) {
  const Document d = json(
      R"({"matchPolicy":"Equivalent","namespaceSelector":{},"objectSelector":{},
          "resourceRules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"],"resourceNames":["a","b"]}],
          "excludeResourceRules":[{"operations":["*"],"apiGroups":[""],"apiVersions":["*"],"resources":["pods"]}]})");
  const Criteria criteria = Criteria::of_match_resources(d.root);
  Request r;
  r.operation = "CREATE";
  r.namespace_ = "x";
  const auto outcome = [&](std::string_view plural, std::string_view name) {
    r.resource = resource("", "v1", plural);
    r.name = name;
    auto m = criteria.match(r);
    return m.ok() && m->has_value();
  };
  EXPECT_TRUE(outcome("services", "a"));
  EXPECT_FALSE(outcome("services", "c"));
  EXPECT_FALSE(outcome("pods", "a"));
  const Criteria everything = Criteria::of_match_resources(Value::null());
  auto m = everything.match(r);
  EXPECT_TRUE(m.ok() && m->has_value());
}

class Amy final : public cel::Authorizer {
 public:
  cel::AuthorizationAnswer authorize(const cel::AuthorizationUser& user,
                                     const cel::AuthorizationQuery& q) const override {
    return {user.name == "amy" && q.verb == "breakglass", std::string(q.resource), ""};
  }
};

struct ConditionCase {
  std::string_view conditions;
  bool matches;
  std::string_view excluded_by, error;
};

TEST(Matching, Conditions) {
  const Document object =
      json(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"b"}}})");
  Caller amy;
  amy.name = "amy";
  amy.groups = {"system:nodes"};
  Request r;
  r.operation = "CREATE";
  r.resource = resource("", "v1", "pods");
  r.namespace_ = "x";
  r.name = "p";
  r.caller = &amy;
  const Amy authorizer;
  const ConditionCase cases[] = {
      {R"([{"name":"a","expression":"object.metadata.name == 'p'"}])", true, "", ""},
      {R"([{"name":"a","expression":"oldObject == null && namespaceObject == null"}])", true, "",
       ""},
      {R"([{"name":"a","expression":"true"},{"name":"b","expression":"request.operation != 'CREATE'"}])",
       false, "b", ""},
      {R"([{"name":"a","expression":"request.userInfo.groups.exists(g, g == 'system:nodes') && request.namespace == 'x'"}])",
       true, "", ""},
      {R"x([{"name":"a","expression":"authorizer.requestResource.check('breakglass').allowed()"}])x",
       true, "", ""},
      {R"x([{"name":"a","expression":"authorizer.group('').resource('pods').check('get').allowed()"}])x",
       false, "a", ""},
      {R"([{"name":"a","expression":"object.spec.x == 1"}])", false, "",
       "expression 'object.spec.x == 1' resulted in error: no such key: spec"},
      // What is false decides, whatever else is wrong.
      {R"([{"name":"a","expression":"object.spec.x == 1"},{"name":"b","expression":"false"}])",
       false, "b", ""},
      {R"([{"name":"a","expression":"object.x == 1"},{"name":"b","expression":"object.y == 1"}])",
       false, "",
       "[expression 'object.x == 1' resulted in error: no such key: x, expression 'object.y == 1' "
       "resulted in error: no such key: y]"},
      {R"([{"name":"a","expression":"'text'"}])", false, "",
       "compilation error: must evaluate to bool but got string"},
      {R"([{"name":"a","expression":"request.nothing == 'x'"}])", false, "",
       "compilation error: compilation failed: ERROR: <input>:1:8: undefined field 'nothing'\n"
       " | request.nothing == 'x'\n | .......^"},
      {R"([{"name":"a","expression":"params == null"}])", false, "",
       "compilation error: compilation failed: ERROR: <input>:1:1: undeclared reference to "
       "'params' "
       "(in container '')\n | params == null\n | ^"},
  };
  for (const ConditionCase& c : cases) {
    SCOPED_TRACE(c.conditions);
    const Document list = json(c.conditions);
    Inputs inputs(&r, Match{r.resource, {"", "v1", "Pod"}}, &object.root, nullptr, &authorizer);
    const Verdict v = Conditions::compile(list.root, {false, true}, true).evaluate(inputs);
    EXPECT_EQ(v.matches, c.matches);
    EXPECT_EQ(v.excluded_by, c.excluded_by);
    EXPECT_EQ(v.error, c.error);
    const Verdict ignoring = Conditions::compile(list.root, {false, true}, false).evaluate(inputs);
    EXPECT_EQ(ignoring.matches, c.matches);
    EXPECT_EQ(ignoring.error, "");
  }
}

TEST(Matching, ConditionsHaveABudgetTogether) {
  std::string list = "[";
  for (int i = 0; i < 5; ++i) {
    list += std::string(i ? "," : "") + R"({"name":"c)" + std::to_string(i) +
            R"x(","expression":"lists.range(100000).all(i, i >= 0)"})x";
  }
  const Document d = json(list + "]");
  Request r;
  r.operation = "CREATE";
  r.resource = resource("", "v1", "pods");
  Inputs inputs(&r, Match{r.resource, {"", "v1", "Pod"}}, nullptr, nullptr, nullptr);
  const Verdict v = Conditions::compile(d.root, {false, true}, true).evaluate(inputs);
  EXPECT_FALSE(v.matches);
  EXPECT_EQ(v.error,
            "validation failed due to running out of cost budget, no further validation rules will "
            "be run");
}

}  // namespace
}  // namespace keles::matching
