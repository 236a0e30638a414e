// The Python that `init` runs, beside the compiled file that runs it: tsc copies nothing.
import { copyFileSync } from 'node:fs'

const place = 'operations/import-settings/ask_django.py'
copyFileSync(new URL(`../src/${place}`, import.meta.url), new URL(`../dist/${place}`, import.meta.url))
