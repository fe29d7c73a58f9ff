import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installCuda, installFailure } from './install.js'
import { isCudaInstalled, isCudaOffered, runtimeLibraryDirectory } from './runtime-package.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-install-'))
  mkdirSync(join(directory, 'script'))
  mkdirSync(runtimeLibraryDirectory(directory), { recursive: true })
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A package whose installation is this program, in the place of one that downloads hundreds of megabytes. */
async function install(program: string): Promise<string[]> {
  writeFileSync(join(directory, 'script/install.js'), program)
  const lines: string[] = []
  await installCuda({ packageDirectory: directory, onLine: (line) => lines.push(line) })
  return lines
}

describe('the installation of CUDA', () => {
  it('fails with what to do where the network cannot be reached', async () => {
    // The real script, which asks nuget.org by way of a proxy that does not answer.
    const environment = { ...process.env, GLOBAL_AGENT_HTTPS_PROXY: 'http://127.0.0.1:9' }
    const installing = installCuda({ onLine: () => undefined, environment })
    if (!isCudaOffered()) return expect(installing).rejects.toMatchObject({ code: 'RUNTIME_ERROR' })
    await expect(installing).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(
        /could not be downloaded \(.*ECONNREFUSED.*\); see that https:\/\/api.nuget.org/,
      ) as string,
    })
  })

  it.runIf(isCudaOffered())('tells what it does, and is done when the files are there', async () => {
    const target = JSON.stringify(runtimeLibraryDirectory(directory))
    const lines = await install(`
      if (process.env.ONNXRUNTIME_NODE_INSTALL !== 'true') process.exit(0)
      console.log('Downloading x')
      for (const name of ['shared', 'cuda'])
        require('node:fs').writeFileSync(require('node:path').join(${target}, 'libonnxruntime_providers_' + name + '.so'), '')
      console.log('Extracting y')`)
    expect(lines).toEqual(['Downloading x', 'Extracting y'])
    expect(isCudaInstalled(directory)).toBe(true)
  })

  it('is no success where nothing was installed', async () => {
    await expect(install('console.log("nothing to do")')).rejects.toThrow('put no CUDA provider into')
    expect(isCudaInstalled(directory)).toBe(false)
  })

  it('fails with the words of the script', async () => {
    await expect(install('throw new Error("Invalid installation: cuda13")')).rejects.toThrow(
      'The installation of onnxruntime-node failed: Invalid installation: cuda13',
    )
  })
})

describe('why an installation failed', () => {
  const code = (stderr: string) => installFailure(stderr, '/package').code

  it('is the network', () => {
    expect(code('Error: getaddrinfo ENOTFOUND api.nuget.org')).toBe('DOWNLOAD_FAILED')
    expect(code('Error: Failed to download from https://x. HTTP status code = 503')).toBe('DOWNLOAD_FAILED')
    expect(code('Error: self-signed certificate in certificate chain')).toBe('DOWNLOAD_FAILED')
  })

  it('is the disk', () => {
    const failure = installFailure("Error: EACCES: permission denied, copyfile '/tmp/a' -> '/b'", '/package')
    expect(failure).toMatchObject({
      code: 'OUTPUT_NOT_WRITABLE',
      message: expect.stringContaining('/package') as string,
    })
    expect(code('Error: ENOSPC: no space left on device, write')).toBe('OUTPUT_NOT_WRITABLE')
  })

  it('is something else', () => {
    expect(code('TypeError: x is not a function')).toBe('RUNTIME_ERROR')
    expect(code('')).toBe('RUNTIME_ERROR')
  })
})
