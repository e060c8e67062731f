// What admission policies cost a write: where no rule is about it, and where one is. CPU of one
// thread; the second and third figures are ratios to parsing the object's JSON in the same run.
#include <cstdio>
#include <ctime>
#include <string>

#include "base/sim_loop.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "server/policies/judgement.h"
#include "server/policies/policy.h"
#include "server/policies/request.h"

namespace {

using namespace keles;

double cpu_microseconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

template <class F>
double each(int rounds, const F& f) {
  const double begin = cpu_microseconds();
  for (int i = 0; i < rounds; ++i) f();
  return (cpu_microseconds() - begin) / rounds;
}

std::shared_ptr<const policies::Policy> policy(int i, const std::string& resource) {
  const KindDesc& kind =
      *find_kind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy");
  auto body = decode_body(
      kind,
      R"({"metadata":{"name":"p)" + std::to_string(i) +
          R"("},"spec":{"matchConstraints":{"matchPolicy":"Equivalent","namespaceSelector":{},"objectSelector":{},"resourceRules":[{"operations":["CREATE","UPDATE"],"apiGroups":["*"],"apiVersions":["*"],"resources":[")" +
          resource +
          R"x("]}]},"variables":[{"name":"cs","expression":"object.spec.containers"}],"validations":[{"expression":"variables.cs.all(c, c.image.startsWith('registry/'))"},{"expression":"has(object.metadata.labels) && 'team' in object.metadata.labels"}]}})x");
  const ObjectPtr object = Object::from_document(kind, std::move(*body));
  return policies::read_policy(*object, false);
}

policies::Index index_of(int count, const std::string& resource, bool any) {
  std::vector<policies::Hook> hooks;
  for (int i = 0; i < count; ++i) {
    hooks.push_back({policy(i, any ? resource : resource + std::to_string(i % 50)),
                     {std::make_shared<policies::Binding>()}});
  }
  return policies::Index(std::move(hooks));
}

}  // namespace

int main() {
  SimLoop loop(1);
  const KindDesc& pods = *find_kind("", "v1", "Pod");
  std::string containers;
  for (int i = 0; i < 3; ++i) {
    containers +=
        (i ? "," : "") + std::string(R"({"name":"c)") + std::to_string(i) +
        R"(","image":"registry/i:1","resources":{"limits":{"cpu":"1"}},"env":[{"name":"A","value":"b"}]})";
  }
  const std::string text =
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"d","labels":{"team":"x"}},"spec":{"containers":[)" +
      containers + "]}}";
  const Document pod = *decode_body(pods, text);
  Caller caller;
  matching::Request request;
  request.operation = "CREATE";
  request.resource = &pods;
  request.namespace_ = "d";
  request.name = "p";
  request.object = &pod.root;
  request.caller = &caller;

  bool any = false;
  const policies::Index others = index_of(1000, "things", false);
  const policies::Index same = index_of(100, "*/scale", true);
  std::printf("no rule matches, 1,000 policies of other resources   %8.3f us (at most 20)\n",
              each(200'000, [&] { any |= others.concerns(request); }));
  std::printf("no rule matches, 100 policies of any subresource     %8.3f us (at most 20)\n",
              each(50'000, [&] { any |= same.concerns(request); }));
  if (any) return 1;

  const double parse = each(20'000, [&] { (void)parse_json(text); });
  const double form = each(20'000, [&] { (void)policies::api_form(pods, pod.root); });
  const auto one = policy(0, "pods");
  const Document shown = policies::api_form(pods, pod.root);
  const matching::Match match{&pods, {"", "v1", "Pod"}};
  const double judge = each(20'000, [&] {
    matching::Inputs inputs(&request, match, &shown.root, nullptr, nullptr);
    (void)policies::judge(*one, inputs, nullptr, "CREATE", loop);
  });
  std::printf("an object as expressions see it                      %8.2f of parsing it\n",
              form / parse);
  std::printf("one policy, two validations, a variable              %8.2f of parsing the object\n",
              judge / parse);
  return 0;
}
