"""A real browser, driven by WebDriver's protocol with nothing but Python's library.

Chromium and its driver come with `scripts/install-deps --browser`.
"""
import base64
import http.client
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

# Keys that have no character (WebDriver, 17.4.2).
KEYS = {'Home': '\ue011', 'End': '\ue010', 'ArrowLeft': '\ue012', 'ArrowUp': '\ue013', 'ArrowRight': '\ue014',
        'ArrowDown': '\ue015'}
# It talks to nobody but us.
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage')


def find():
    """(chromium, chromedriver), or None with what is missing said on stdout."""
    found = [shutil.which(name) for name in ('chromium', 'chromedriver')]
    if all(found):
        return found
    print('SKIP: no chromium with chromedriver on this machine; scripts/install-deps --browser installs them')
    return None


class Browser:
    """One window. Use it in `with`."""

    def __init__(self, width=1400, height=1000, dark=False):
        chromium, driver = find()
        self.folder = tempfile.TemporaryDirectory(prefix='browser-')
        self.driver = subprocess.Popen([driver, '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       text=True)
        try:
            self.port = self.await_port()
            flags = [*FLAGS, f'--user-data-dir={self.folder.name}', f'--window-size={width},{height}']
            if dark:
                flags.append('--force-dark-mode')
            wanted = {'browserName': 'chrome', 'goog:loggingPrefs': {'browser': 'ALL'},
                      'goog:chromeOptions': {'binary': chromium, 'args': flags}}
            answer = self.call('POST', '/session', {'capabilities': {'alwaysMatch': wanted}})
            self.session = '/session/' + answer['sessionId']
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call('DELETE', self.session)
        finally:
            self.stop()

    def stop(self):
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
        # What is left of the browser may still be writing there.
        for _ in range(50):
            try:
                self.folder.cleanup()
                return
            except OSError:
                time.sleep(0.1)

    def await_port(self):
        for line in self.driver.stdout:
            if 'started successfully on port' in line:
                return int(line.rstrip('.\n').rsplit(' ', 1)[1])
        raise RuntimeError('chromedriver has not started')

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body or {}) if method == 'POST' else None,
                               {'Content-Type': 'application/json'})
            value = json.load(connection.getresponse())['value']
        finally:
            connection.close()
        if isinstance(value, dict) and 'error' in value:
            raise RuntimeError(f'{method} {path}: {value["error"]}: {value["message"]}')
        return value

    def open(self, page):
        self.call('POST', f'{self.session}/url', {'url': pathlib.Path(page).resolve().as_uri()})

    def run(self, script, *arguments):
        """What the script returns."""
        return self.call('POST', f'{self.session}/execute/sync', {'script': script, 'args': list(arguments)})

    def press(self, *keys):
        """As a person would, one after another."""
        strokes = []
        for key in keys:
            strokes += [{'type': kind, 'value': KEYS.get(key, key)} for kind in ('keyDown', 'keyUp')]
        self.call('POST', f'{self.session}/actions', {'actions': [{'type': 'key', 'id': 'keyboard', 'actions': strokes}]})

    def console(self):
        """What was logged since the last call."""
        return self.call('POST', f'{self.session}/se/log', {'type': 'browser'})

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.call('GET', f'{self.session}/screenshot')))
