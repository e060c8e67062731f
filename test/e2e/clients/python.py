#!/usr/bin/python3
"""What a program does with the kubernetes package of Python: one part a call, `python.py PART`.

It prints what it sees; test/e2e/client-python.e2e shows what that is.
"""
import json
import os
import sys
import threading
import time

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import NotFoundError
from kubernetes.stream import stream

NS = os.environ['NS']
config.load_kube_config()
core = client.CoreV1Api()


def until(what, fn):
    for _ in range(600):
        if fn():
            return
        time.sleep(0.05)
    raise SystemExit(what + ': not within 30 s')


def refusal(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as e:
        body = json.loads(e.body)
        return '%d %s: %s' % (e.status, body['reason'], body['message'])
    return 'no refusal'


def config_map(name, data=None, labels=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def objects():
    made = core.create_namespaced_config_map(NS, config_map('one', {'a': '1'}, {'app': 'demo'}))
    print('created', made.metadata.name, made.metadata.uid is not None)
    print(refusal(core.create_namespaced_config_map, NS, config_map('one')))
    made.data['b'] = '2'
    replaced = core.replace_namespaced_config_map('one', NS, made)
    print('replaced', replaced.data)
    print(refusal(core.replace_namespaced_config_map, 'one', NS, made))
    patched = core.patch_namespaced_config_map('one', NS, {'data': {'a': None, 'c': '3'}})
    print('patched', patched.data)
    patched = core.patch_namespaced_config_map('one', NS, [{'op': 'remove', 'path': '/data/c'}])
    print('by JSON patch', patched.data)
    listed = core.list_namespaced_config_map(NS, label_selector='app=demo')
    print('listed', [o.metadata.name for o in listed.items])
    core.delete_namespaced_config_map('one', NS)
    print(refusal(core.read_namespaced_config_map, 'one', NS))


def workload():
    apps = client.AppsV1Api()
    labels = {'app': 'py'}
    container = client.V1Container(name='c', image='keles.dev/hello:1')
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels),
                                        spec=client.V1PodSpec(containers=[container]))
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels),
                                   template=template)
    made = apps.create_namespaced_deployment(
        NS, client.V1Deployment(metadata=client.V1ObjectMeta(name='py'), spec=spec))
    print('created', made.spec.strategy.type, made.spec.template.spec.restart_policy)
    scale = apps.patch_namespaced_deployment_scale('py', NS, {'spec': {'replicas': 0}})
    print('scaled', scale.kind, scale.spec.replicas)
    apps.delete_namespaced_deployment('py', NS, propagation_policy='Foreground')


def watching():
    start = core.list_namespaced_config_map(NS).metadata.resource_version

    def change():
        core.create_namespaced_config_map(NS, config_map('seen'))
        core.patch_namespaced_config_map('seen', NS, {'data': {'x': 'y'}})
        core.delete_namespaced_config_map('seen', NS)

    worker = threading.Thread(target=change)
    worker.start()
    w = watch.Watch()
    for event in w.stream(core.list_namespaced_config_map, NS, resource_version=start,
                          timeout_seconds=30):
        o = event['object']
        if o.metadata.name == 'seen':
            print(event['type'], type(o).__name__, o.data)
        if event['type'] == 'DELETED' and o.metadata.name == 'seen':
            w.stop()
    worker.join()
    # The server ends a watch when it was told to: the stream goes on by itself, then ends.
    began = time.monotonic()
    for event in watch.Watch().stream(core.list_namespaced_config_map, NS, timeout_seconds=1):
        pass
    print('ended by itself', time.monotonic() - began < 20)


def any_kind():
    dyn = dynamic.DynamicClient(client.ApiClient())
    budgets = dyn.resources.get(api_version='policy/v1', kind='PodDisruptionBudget')
    body = {'apiVersion': 'policy/v1', 'kind': 'PodDisruptionBudget', 'metadata': {'name': 'py'},
            'spec': {'minAvailable': 1, 'selector': {'matchLabels': {'app': 'py'}}}}
    made = budgets.create(body=body, namespace=NS)
    print('created', made.kind, made.spec.minAvailable)
    patched = budgets.patch(body={'spec': {'minAvailable': 2}}, name='py', namespace=NS,
                            content_type='application/merge-patch+json')
    print('patched', patched.spec.minAvailable)
    print('listed', [o.metadata.name for o in budgets.get(namespace=NS).items])
    for event in budgets.watch(namespace=NS, timeout=5):
        print(event['type'], event['object'].metadata.name)
        break
    budgets.delete(name='py', namespace=NS)
    try:
        budgets.get(name='py', namespace=NS)
    except NotFoundError as e:
        print(e.status, json.loads(e.body)['message'])


def custom():
    definitions, api = client.ApiextensionsV1Api(), client.CustomObjectsApi()
    group = NS + '.example.com'
    schema = {'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': {
        'size': {'type': 'integer', 'minimum': 1, 'default': 7}}}}}
    definitions.create_custom_resource_definition({
        'metadata': {'name': 'boxes.' + group},
        'spec': {'group': group, 'scope': 'Namespaced',
                 'names': {'plural': 'boxes', 'singular': 'box', 'kind': 'Box'},
                 'versions': [{'name': 'v1', 'served': True, 'storage': True,
                               'schema': {'openAPIV3Schema': schema}}]}})

    def established():
        d = definitions.read_custom_resource_definition('boxes.' + group)
        return any(c.type == 'Established' and c.status == 'True'
                   for c in (d.status.conditions or []) if d.status)

    until('Established', established)
    body = {'apiVersion': group + '/v1', 'kind': 'Box', 'metadata': {'name': 'b'}, 'spec': {}}
    made = api.create_namespaced_custom_object(group, 'v1', NS, 'boxes', body)
    print('created', made['kind'], made['spec'])
    patched = api.patch_namespaced_custom_object(group, 'v1', NS, 'boxes', 'b', {'spec': {'size': 8}})
    print('patched', patched['spec'], patched['metadata']['generation'])
    dyn = dynamic.DynamicClient(client.ApiClient())
    boxes = dyn.resources.get(api_version=group + '/v1', kind='Box')
    print('found by discovery', [o.spec.size for o in boxes.get(namespace=NS).items])
    definitions.delete_custom_resource_definition('boxes.' + group)
    until('its end', lambda: refusal(definitions.read_custom_resource_definition,
                                     'boxes.' + group).startswith('404'))
    print('gone')


def execute():
    answer = stream(core.connect_get_namespaced_pod_exec, 'box', NS,
                    command=['sh', '-c', 'echo out; echo err >&2; exit 3'], stderr=True, stdin=False,
                    stdout=True, tty=False, _preload_content=False)
    answer.run_forever(timeout=30)
    print(repr(answer.read_stdout()), repr(answer.read_stderr()), answer.returncode)
    print('log', repr(core.read_namespaced_pod_log('box', NS)))


{'objects': objects, 'workload': workload, 'watch': watching, 'dynamic': any_kind,
 'custom': custom, 'exec': execute}[sys.argv[1]]()
